/* SPDX-License-Identifier: Apache-2.0
 *
 * Envelopes in C: messages in frames, for files, pipes and sockets. What they promise is written in <sluice/envelope.hpp>.
 */
#ifndef SLUICE_C_ENVELOPE_H
#define SLUICE_C_ENVELOPE_H

#include "sluice/c/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a frame has more than its message, at most. */
#define SLUICE_ENVELOPE_HEADER_BYTES 24u

/* One message in a frame of its own. codec: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd. */
SLUICE_CALL sluice_status sluice_envelope_encode(sluice_span message, uint32_t codec, uint32_t max_message_bytes, uint8_t *buffer,
                                                 uint64_t capacity, uint64_t *needed, sluice_failure *failure);
/* The first frame of `input`: its message, and how many bytes of `input` it took. SLUICE_OUT_OF_RANGE: the frame is not whole
 * yet. */
SLUICE_CALL sluice_status sluice_envelope_decode(sluice_span input, uint32_t max_message_bytes, uint8_t *buffer, uint64_t capacity,
                                                 uint64_t *needed, uint64_t *taken, sluice_failure *failure);

typedef struct sluice_envelope_counts {
  uint32_t size;
  uint32_t reserved;
  uint64_t messages;
  uint64_t message_bytes; /* before compression */
  uint64_t stored_bytes;  /* with headers */
  uint64_t refused;
} sluice_envelope_counts;

/* A writer: {"codec": "zstd", "level": 3, "compress_from_bytes": 128, "max_message_bytes": 4194304}; all may be left out. Writers and
 * readers take one call at a time, and others wait. */
SLUICE_CALL sluice_status sluice_envelope_writer_open(const char *config, uint64_t config_size, sluice_handle *writer, sluice_failure *failure);
/* The frame of a message, in a buffer of at least message.size + SLUICE_ENVELOPE_HEADER_BYTES: SLUICE_TOO_LARGE where it is less, or
 * where the message is; `needed` is the frame's size otherwise. */
SLUICE_CALL sluice_status sluice_envelope_write(sluice_handle writer, sluice_span message, uint8_t *buffer, uint64_t capacity,
                                                uint64_t *needed, sluice_failure *failure);

/* A reader of a stream that arrives in pieces of any size: {"max_message_bytes": 4194304}. */
SLUICE_CALL sluice_status sluice_envelope_reader_open(const char *config, uint64_t config_size, sluice_handle *reader, sluice_failure *failure);
/* The next message; `taken` says how many bytes of `input` were used, whatever is returned: come again with what is behind them.
 * SLUICE_OUT_OF_RANGE: `input` is used up. SLUICE_TOO_LARGE with `needed` above `capacity`: the reader keeps the message for the
 * next call. After any other error each call says it again. */
SLUICE_CALL sluice_status sluice_envelope_read(sluice_handle reader, sluice_span input, uint64_t *taken, uint8_t *buffer, uint64_t capacity,
                                               uint64_t *needed, sluice_failure *failure);
/* At the end of the stream. SLUICE_CORRUPT: it ended within a frame. `position` (may be NULL): where the next frame begins. */
SLUICE_CALL sluice_status sluice_envelope_finish(sluice_handle reader, uint64_t *position, sluice_failure *failure);
/* Of a writer or a reader. */
SLUICE_CALL sluice_status sluice_envelope_stats(sluice_handle either, sluice_envelope_counts *counts, sluice_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
