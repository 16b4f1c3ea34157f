// Asio's echo server: one thread without locks (concurrency hint UNSAFE), the context's own
// executor instead of the polymorphic one, a 64 KiB buffer in each connection, async_read_some and
// async_write, handler memory recycled by Asio itself.
//
// Writing synchronously on the non-blocking socket first was tried: it spares a lone connection one
// wait but makes Asio read once too often when many are busy, and came out equal on TCP and worse
// on Unix sockets. So this is the form of Asio's own examples.
//
// Connections own themselves: the pending operation is the only reference, and the last handler
// deletes its connection. SIGTERM stops the context through a signal_set.
#include "asio_of_choice.h"
#include "contestant.h"

#include <csignal>
#include <string>
#include <unistd.h>

namespace
{

using executor = asio::io_context::executor_type;
template <typename Protocol> using socket_of = asio::basic_stream_socket<Protocol, executor>;
template <typename Protocol> using acceptor_of = asio::basic_socket_acceptor<Protocol, executor>;

constexpr std::size_t buffer_bytes = 64 * 1024;

template <typename Protocol> class connection
{
  public:
    explicit connection(socket_of<Protocol> socket) : socket_(std::move(socket))
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

    socket_of<Protocol> socket_;
    unsigned char bytes_[buffer_bytes]; // Not zeroed: nobody reads it before it is filled.
};

template <typename Protocol>
void
accept_next(acceptor_of<Protocol> &acceptor)
{
    acceptor.async_accept([&acceptor](error_code error, socket_of<Protocol> socket) {
        if (error == asio::error::operation_aborted)
            return;
        if (!error)
            (new connection<Protocol>(std::move(socket)))->read();
        accept_next<Protocol>(acceptor);
    });
}

template <typename Protocol>
void
serve(asio::io_context &context, acceptor_of<Protocol> &acceptor)
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
    std::string version = std::to_string(asio_version / 100000) + '.' +
                          std::to_string(asio_version / 100 % 1000) + '.' +
                          std::to_string(asio_version % 100);
    contestant_where where = contestant_parse(argc, argv, "asio", version.c_str());
    asio::io_context context(asio_unlocked);

    if (where.path != nullptr) {
        using local = asio::local::stream_protocol;
        acceptor_of<local> acceptor(context);

        ::unlink(where.path);
        acceptor.open();
        acceptor.bind(local::endpoint(where.path));
        serve<local>(context, acceptor);
    } else {
        using asio::ip::tcp;
        acceptor_of<tcp> acceptor(context);

        acceptor.open(tcp::v4());
        acceptor.set_option(asio::socket_base::reuse_address(true));
        acceptor.set_option(tcp::no_delay(true)); // Inherited by every accepted socket.
        acceptor.bind(tcp::endpoint(
            asio::ip::address_v4::loopback(), static_cast<unsigned short>(where.port)));
        serve<tcp>(context, acceptor);
    }
    std::_Exit(0); // Connections still open own themselves; the kernel takes them back.
}
