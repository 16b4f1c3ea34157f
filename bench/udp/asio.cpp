// Asio's echo: one datagram at a time, which is what it has; sent at once.

#include "../asio_of_choice.h"
#include "contestant.h"

#include <array>

using asio::ip::udp;

namespace
{

class server
{
  public:
    server(asio::io_context &context, int port)
        : socket_(context,
              udp::endpoint(asio::ip::address_v4::loopback(), static_cast<unsigned short>(port)))
    {
        socket_.non_blocking(true);
    }

    void
    receive()
    {
        socket_.async_receive_from(
            asio::buffer(bytes_), from_, [this](const error_code &error, std::size_t len) {
                error_code ignored;

                if (!error)
                    socket_.send_to(asio::buffer(bytes_, len), from_, 0, ignored);
                receive();
            });
    }

  private:
    udp::socket socket_;
    udp::endpoint from_;
    std::array<char, 65536> bytes_;
};

} // namespace

int
main(int argc, char **argv)
{
    int port = udp_port(argc, argv);
    asio::io_context context(asio_unlocked);
    static server echo(context, port);

    echo.receive();
    context.run();
}
