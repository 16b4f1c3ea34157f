// Boost.Asio's echo server: one thread (concurrency hint 1), a 64 KiB buffer in each connection,
// handler memory recycled by Asio itself.
//
// The reading stays asynchronous; the answer is written at once on the non-blocking socket and
// falls back to async_write for what the kernel refuses, which spares Asio a turn of its queue.
// BENCH_ASIO_ASYNC_WRITE=1 takes async_write always, the form of Asio's own echo example.
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

bool always_async_write;
constexpr std::size_t buffer_bytes = 64 * 1024;

template <typename Protocol> class connection
{
  public:
    explicit connection(typename Protocol::socket socket) : socket_(std::move(socket))
    {
        socket_.non_blocking(true);
    }

    void
    read()
    {
        socket_.async_read_some(asio::buffer(bytes_, buffer_bytes),
            [this](error_code error, std::size_t n) { on_read(error, n); });
    }

  private:
    void
    on_read(error_code error, std::size_t n)
    {
        std::size_t sent = 0;

        if (error) {
            delete this;
            return;
        }
        if (!always_async_write) {
            sent = socket_.write_some(asio::buffer(bytes_, n), error);
            if (error == asio::error::would_block) {
                sent = 0;
            } else if (error) {
                delete this;
                return;
            }
            if (sent == n) {
                read();
                return;
            }
        }
        asio::async_write(socket_, asio::buffer(bytes_ + sent, n - sent),
            [this](error_code write_error, std::size_t) {
                if (write_error)
                    delete this;
                else
                    read();
            });
    }

    typename Protocol::socket socket_;
    unsigned char bytes_[buffer_bytes];
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

    always_async_write = std::getenv("BENCH_ASIO_ASYNC_WRITE") != nullptr;
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
