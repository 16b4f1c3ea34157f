# The library: every source file of the source folders, compiled once into rill_objects, linked
# twice. The files are globbed per folder so that a new file needs no edit here.

set(rill_folders core core/driver dns transports restart ssl tasks protocols workers)

set(rill_sources "")
foreach(folder IN LISTS rill_folders)
    set(patterns "${folder}/*.c")
    if(NOT folder STREQUAL "core") # core/driver stands in the list by itself
        list(APPEND patterns "${folder}/*/*.c")
    endif()
    if(folder STREQUAL "tasks") # The switch of stacks
        list(APPEND patterns "${folder}/*.S")
    endif()
    file(GLOB found CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}" ${patterns})
    list(APPEND rill_sources ${found})
endforeach()
if(NOT RILL_WITH_SIM)
    list(FILTER rill_sources EXCLUDE REGEX "^core/driver/sim(/|[_.])")
endif()
if(NOT RILL_WITH_URING)
    list(FILTER rill_sources EXCLUDE REGEX "^core/driver/uring(/|[_.])")
endif()
if(NOT rill_sources)
    message(FATAL_ERROR "rill: no sources found under ${PROJECT_SOURCE_DIR}")
endif()

find_package(Threads REQUIRED)

# One set of usage rules for every form of the library; `testing` 1 adds invariants and planted
# bugs.
function(rill_library_target target testing)
    rill_compile_flags(${target})
    set_target_properties(${target} PROPERTIES C_VISIBILITY_PRESET hidden)
    target_include_directories(${target}
        PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
        PRIVATE ${PROJECT_SOURCE_DIR})
    target_compile_definitions(${target} PRIVATE
        _GNU_SOURCE RILL_TESTING=${testing} RILL_WITH_SIM=$<BOOL:${RILL_WITH_SIM}>
        RILL_WITH_URING=$<BOOL:${RILL_WITH_URING}>
        $<$<BOOL:${RILL_UCONTEXT}>:RILL_SWITCH_UCONTEXT>)
endfunction()

add_library(rill_objects OBJECT ${rill_sources})
rill_library_target(rill_objects 0)
set_target_properties(rill_objects PROPERTIES
    POSITION_INDEPENDENT_CODE ${RILL_BUILD_SHARED})
# A byte crosses four files on its way; link-time optimization takes the calls between them out. The
# objects stay ordinary ones too, for users of the static library with another compiler.
if(RILL_LTO AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    set(rill_lto -flto=auto -ffat-lto-objects -O3)
    # Objects of 150 to 300 bytes are zeroed on hot ways: `rep stos` starts too slowly for those.
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
        list(APPEND rill_lto
            -mmemset-strategy=libcall:-1:noalign -mmemcpy-strategy=libcall:-1:noalign)
    endif()
    target_compile_options(rill_objects PRIVATE ${rill_lto} -fno-semantic-interposition)
endif()

function(rill_finish_library target export_name)
    target_include_directories(${target} PUBLIC
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    target_link_libraries(${target} PRIVATE Threads::Threads)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME rill EXPORT_NAME ${export_name})
    if(rill_sanitize_flags)
        target_link_options(${target} PUBLIC $<BUILD_INTERFACE:${rill_sanitize_flags}>)
    endif()
    add_library(rill::${export_name} ALIAS ${target})
endfunction()

include(GNUInstallDirs)

if(RILL_BUILD_SHARED)
    add_library(rill_shared SHARED $<TARGET_OBJECTS:rill_objects>)
    rill_finish_library(rill_shared shared)
    set(map "${PROJECT_SOURCE_DIR}/cmake/rill.map")
    target_link_options(rill_shared PRIVATE ${rill_lto}
        "LINKER:--version-script=${map}" LINKER:-z,defs LINKER:-z,relro LINKER:-z,now)
    if(RILL_SANITIZE AND CMAKE_C_COMPILER_ID MATCHES "Clang")
        # Clang links its sanitizer run time into programs only.
        target_link_options(rill_shared PRIVATE LINKER:-z,undefs)
    endif()
    set_target_properties(rill_shared PROPERTIES
        VERSION ${PROJECT_VERSION} SOVERSION ${RILL_SOVERSION} LINK_DEPENDS "${map}")
endif()
if(RILL_BUILD_STATIC)
    add_library(rill_static STATIC $<TARGET_OBJECTS:rill_objects>)
    rill_finish_library(rill_static static)
endif()

# rill::rill is what a program links when it does not care: shared where there is one.
if(RILL_BUILD_SHARED)
    add_library(rill::rill ALIAS rill_shared)
else()
    add_library(rill::rill ALIAS rill_static)
endif()
# Our own programs take the static one: they run from the build folder at full speed.
if(RILL_BUILD_STATIC)
    set(rill_own_library rill_static)
else()
    set(rill_own_library rill_shared)
endif()
