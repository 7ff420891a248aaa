using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Ndif.Remote;

/// <summary>
/// Opens TCP connections to a gateway. A thread of its own waits for each, because a user's work may hold all threads of the thread pool,
/// and then the time for an asynchronous connection is over before its end is noticed. What follows (TLS, HTTP/2) waits for threads of
/// the pool, so that <see cref="SocketsHttpHandler.ConnectTimeout"/>, which counts all, is long.
/// </summary>
internal static class GatewayConnection
{
    private static readonly TimeSpan _timeout = TimeSpan.FromSeconds(10);

    /// <exception cref="SocketException">The name is not known, or the connection is refused.</exception>
    /// <exception cref="TimeoutException">Nothing answers in time.</exception>
    public static async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellationToken)
    {
        DnsEndPoint gateway = context.DnsEndPoint;
        Task<Socket> connecting = Task.Factory.StartNew(() => Connect(gateway), cancellationToken, TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        try
        {
            return new NetworkStream(await connecting.WaitAsync(cancellationToken), ownsSocket: true);
        }
        catch (OperationCanceledException)
        {
            _ = connecting.ContinueWith(connected => connected.Result.Dispose(), CancellationToken.None,
                TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
            throw;
        }
    }

    /// <summary>Tries the addresses of the name in turn.</summary>
    private static Socket Connect(DnsEndPoint gateway)
    {
        IPAddress[] addresses = Dns.GetHostAddresses(gateway.Host);
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; ; i++)
        {
            var socket = new Socket(addresses[i].AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                TimeSpan left = _timeout - Stopwatch.GetElapsedTime(start);
                if (TryConnect(socket, new IPEndPoint(addresses[i], gateway.Port), left)) return socket;
                throw new TimeoutException($"{gateway.Host}:{gateway.Port} did not answer within {_timeout.TotalSeconds:0} s.");
            }
            catch (SocketException) when (i + 1 < addresses.Length)
            {
                socket.Dispose();
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        }
    }

    /// <summary>Waits until the connection is made; returns false after the timeout.</summary>
    private static bool TryConnect(Socket socket, IPEndPoint gateway, TimeSpan timeout)
    {
        socket.Blocking = false;
        try
        {
            socket.Connect(gateway);
        }
        catch (SocketException e) when (e.SocketErrorCode is SocketError.WouldBlock or SocketError.InProgress)
        {
            if (timeout <= TimeSpan.Zero || !socket.Poll(timeout, SelectMode.SelectWrite)) return false;
            if (socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.Error) is int and not 0 and var error)
                throw new SocketException(error);
        }
        socket.Blocking = true;
        return true;
    }
}
