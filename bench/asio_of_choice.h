// Asio under one name: Boost's, or, with BENCH_ASIO_STANDALONE, the one without Boost. They are
// one library released twice, and their version numbers are those of Asio in both.
#ifndef BENCH_ASIO_OF_CHOICE_H
#define BENCH_ASIO_OF_CHOICE_H

#ifdef BENCH_ASIO_STANDALONE
#define ASIO_NO_DEPRECATED
#include <asio.hpp>
using asio::error_code;
constexpr int asio_version = ASIO_VERSION;
constexpr int asio_unlocked = ASIO_CONCURRENCY_HINT_UNSAFE;
#else
#define BOOST_ASIO_NO_DEPRECATED
#include <boost/asio.hpp>
namespace asio = boost::asio;
using boost::system::error_code;
constexpr int asio_version = BOOST_ASIO_VERSION;
constexpr int asio_unlocked = BOOST_ASIO_CONCURRENCY_HINT_UNSAFE;
#endif

#endif
