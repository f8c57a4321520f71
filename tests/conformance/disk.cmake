# The disk adapter in each of its modes.
foreach(mode os interval fsync)
  sluice_conformance_test(disk_${mode} disk "{\"sync\": \"${mode}\"}")
endforeach()
