# Compile and link flags, given to our own targets one by one: nothing global, so that a parent
# project that uses rill with add_subdirectory() keeps its flags and ours stay here.

set(rill_warnings
    -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes
    -Wmissing-prototypes -Wold-style-definition -Wpointer-arith -Wwrite-strings
    -Wundef -Wvla -Wformat=2 -Wredundant-decls -Wimplicit-fallthrough -Wdate-time)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    list(APPEND rill_warnings -Wlogical-op -Wduplicated-cond -Wjump-misses-init)
endif()
if(RILL_WERROR)
    list(APPEND rill_warnings -Werror)
    if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
        # gcc 12 cannot see that an output is set whenever the code is not negative.
        list(APPEND rill_warnings -Wno-error=maybe-uninitialized)
    endif()
endif()

set(rill_sanitize_flags "")
if(RILL_SANITIZE)
    list(JOIN RILL_SANITIZE "," sanitizers)
    set(rill_sanitize_flags -fsanitize=${sanitizers} -fno-sanitize-recover=all)
    unset(sanitizers)
endif()

# Everything that we compile, the library as well as tests and examples.
function(rill_compile_flags target)
    set_target_properties(${target} PROPERTIES
        C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS ON)
    # Frame pointers stay so that profilers and crash traces see through our callbacks.
    target_compile_options(${target} PRIVATE
        ${rill_warnings} -fno-omit-frame-pointer ${rill_sanitize_flags})
    get_target_property(type ${target} TYPE)
    if(rill_sanitize_flags AND NOT type STREQUAL "OBJECT_LIBRARY")
        target_link_options(${target} PUBLIC $<BUILD_INTERFACE:${rill_sanitize_flags}>)
    endif()
endfunction()
