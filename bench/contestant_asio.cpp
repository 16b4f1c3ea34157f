// Boost.Asio's echo server: one thread (concurrency hint 1), a 64 KiB buffer in each connection,
// async_read_some and async_write, handler memory recycled by Asio itself.
//
// Writing synchronously on the non-blocking socket first was tried: it spares a lone connection one
// wait but makes Asio read once too often when many are busy, and came out equal on TCP and worse
// on Unix sockets. So this is the form of Asio's own examples.
//
// Connections own themselves: the pending operation is the only reference, and the last handler
// deletes its connection. SIGTERM stops the context through a signal_set.
#define BOOST_ASIO_NO_DEPRECATED
#include "contestant.h"

#include <boost/asio.hpp>
#include <csignal>
#include <unistd.h>

namespace asio = boost::asio;
using boost::system::error_code;

namespace
{

constexpr std::size_t buffer_bytes = 64 * 1024;

template <typename Protocol> class connection
{
  public:
    explicit connection(typename Protocol::socket socket) : socket_(std::move(socket))
    {
    }

    void
    read()
    {
        socket_.async_read_some(
            asio::buffer(bytes_, buffer_bytes), [this](error_code error, std::size_t n) {
                if (error)
                    delete this;
                else
                    write(n);
            });
    }

  private:
    void
    write(std::size_t len)
    {
        asio::async_write(
            socket_, asio::buffer(bytes_, len), [this](error_code error, std::size_t) {
                if (error)
                    delete this;
                else
                    read();
            });
    }

    typename Protocol::socket socket_;
    unsigned char bytes_[buffer_bytes]; // Not zeroed: nobody reads it before it is filled.
};

template <typename Protocol>
void
accept_next(typename Protocol::acceptor &acceptor)
{
    acceptor.async_accept([&acceptor](error_code error, typename Protocol::socket socket) {
        if (error == asio::error::operation_aborted)
            return;
        if (!error)
            (new connection<Protocol>(std::move(socket)))->read();
        accept_next<Protocol>(acceptor);
    });
}

template <typename Protocol>
void
serve(asio::io_context &context, typename Protocol::acceptor &acceptor)
{
    asio::signal_set signals(context, SIGTERM);

    signals.async_wait([&context](error_code, int) { context.stop(); });
    acceptor.listen(CONTESTANT_BACKLOG);
    accept_next<Protocol>(acceptor);
    context.run();
}

} // namespace

int
main(int argc, char **argv)
{
    contestant_where where = contestant_parse(argc, argv);
    asio::io_context context(1);

    if (where.path != nullptr) {
        using local = asio::local::stream_protocol;
        local::acceptor acceptor(context);

        ::unlink(where.path);
        acceptor.open();
        acceptor.bind(local::endpoint(where.path));
        serve<local>(context, acceptor);
    } else {
        using asio::ip::tcp;
        tcp::acceptor acceptor(context);

        acceptor.open(tcp::v4());
        acceptor.set_option(tcp::acceptor::reuse_address(true));
        acceptor.set_option(tcp::no_delay(true)); // Inherited by every accepted socket.
        acceptor.bind(tcp::endpoint(
            asio::ip::address_v4::loopback(), static_cast<unsigned short>(where.port)));
        serve<tcp>(context, acceptor);
    }
    std::_Exit(0); // Connections still open own themselves; the kernel takes them back.
}
