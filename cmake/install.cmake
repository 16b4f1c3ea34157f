# Installation: headers, libraries, find_package(rill) and rill.pc, in components runtime and dev.

include(CMakePackageConfigHelpers)

set(rill_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/rill")
set(rill_generated "${PROJECT_BINARY_DIR}/generated")

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/rill" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
    COMPONENT dev FILES_MATCHING PATTERN "*.h")

# One export set for each kind, so that the config file can load what is there.
foreach(kind shared static)
    if(TARGET rill_${kind})
        install(TARGETS rill_${kind} EXPORT rill-${kind}
            LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
                COMPONENT runtime NAMELINK_COMPONENT dev
            ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT dev)
        install(EXPORT rill-${kind} NAMESPACE rill:: DESTINATION "${rill_cmake_dir}"
            FILE rill-${kind}-targets.cmake COMPONENT dev)
    endif()
endforeach()

configure_package_config_file(cmake/rillConfig.cmake.in "${rill_generated}/rillConfig.cmake"
    INSTALL_DESTINATION "${rill_cmake_dir}" NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${rill_generated}/rillConfigVersion.cmake"
    COMPATIBILITY SameMinorVersion)
install(FILES "${rill_generated}/rillConfig.cmake" "${rill_generated}/rillConfigVersion.cmake"
    DESTINATION "${rill_cmake_dir}" COMPONENT dev)

# pkg-config: the way from the .pc file up to the prefix depends on how deep the library folder is
# (two levels for lib, three for a multiarch one), hence computed here.
file(RELATIVE_PATH rill_pc_prefix
    "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
string(REGEX REPLACE "/$" "" rill_pc_prefix "${rill_pc_prefix}")
configure_file(cmake/rill.pc.in "${rill_generated}/rill.pc" @ONLY)
install(FILES "${rill_generated}/rill.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig"
    COMPONENT dev)
