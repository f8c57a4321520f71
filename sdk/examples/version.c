/* SPDX-License-Identifier: Apache-2.0
 * The smallest program on the C face: what it is, and what a wrong handle gets. */
#include <sluice/sluice.h>
#include <stdio.h>

int main(void) {
  sluice_failure failure = {.size = sizeof failure};
  sluice_status status = sluice_release(42, &failure);
  printf("Sluice %s: releasing 42 gives %s, %s\n", sluice_version(), sluice_status_name(status), failure.text);
  return status == SLUICE_NOT_FOUND ? 0 : 1;
}
