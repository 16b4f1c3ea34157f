# Cross compiling for 64-bit Arm with Debian's compiler; tests run by qemu-user. Needs the packages
# gcc-aarch64-linux-gnu, qemu-user and, of the architecture arm64, libcmocka-dev.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_ASM_COMPILER aarch64-linux-gnu-gcc)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig)
