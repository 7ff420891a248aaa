using System.Net;
using System.Net.Sockets;

namespace Ndif.Protocol;

/// <summary>
/// The proxy of the environment (http_proxy, https_proxy, all_proxy), without the addresses that are reached directly: those of this
/// machine, and those of no_proxy.
/// </summary>
/// <param name="environment">The proxy for every other address, as .NET reads it from the environment.</param>
/// <param name="noProxy">
/// Separated by commas: host names, each with its subdomains, IP addresses, networks (10.0.0.0/8), or <c>*</c> for all. An entry with a
/// port counts for that port.
/// </param>
/// <remarks>
/// .NET compares a name in no_proxy with the whole host and knows no networks. Here an entry means what it means for curl and for Python's
/// requests: should_bypass_proxies in requests/utils.py.
/// </remarks>
public sealed class EnvironmentProxy(IWebProxy environment, string? noProxy) : IWebProxy
{
    private readonly string[] _direct =
        (noProxy ?? "").Split([',', ' ', ';'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    /// <summary>The proxy of this process.</summary>
    public static EnvironmentProxy Current => new(HttpClient.DefaultProxy, ReadVariable("no_proxy"));

    /// <inheritdoc/>
    public ICredentials? Credentials
    {
        get => environment.Credentials;
        set => environment.Credentials = value;
    }

    /// <summary>The address of the proxy for a destination; null if it is reached directly.</summary>
    public Uri? GetProxy(Uri destination) =>
        !IsDirect(destination) && environment.GetProxy(destination) is { } proxy && proxy != destination ? proxy : null;

    /// <inheritdoc/>
    public bool IsBypassed(Uri host) => GetProxy(host) is null;

    /// <summary>
    /// Names the proxy for a destination and the variable that it comes from, without its password; null if it is reached directly.
    /// </summary>
    public string? Describe(Uri destination)
    {
        if (GetProxy(destination) is not { } proxy) return null;
        string? variable = ((string[])[$"{destination.Scheme}_proxy", "all_proxy"]).FirstOrDefault(name => ReadVariable(name) is not null);
        return $"{proxy.Scheme}://{proxy.Authority}{(variable is null ? "" : $" that `{variable}` names")}";
    }

    private bool IsDirect(Uri destination)
    {
        string host = destination.DnsSafeHost.TrimEnd('.');
        IPAddress? address = IPAddress.TryParse(host, out IPAddress? parsed) ? Unmap(parsed) : null;
        bool isHere = address is null
            ? host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
                || host.EndsWith(".localhost", StringComparison.OrdinalIgnoreCase)
            : IPAddress.IsLoopback(address) || address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any);
        return isHere || _direct.Any(entry => Matches(entry, host, address, destination.Port));
    }

    private static bool Matches(string entry, string host, IPAddress? address, int port)
    {
        if (entry == "*") return true;
        if (entry.IndexOf('/') is > 0 and var slash)
            return address is not null && IPAddress.TryParse(entry[..slash].Trim('[', ']'), out IPAddress? network)
                && int.TryParse(entry[(slash + 1)..], out int prefix) && IsInNetwork(address, network, prefix);
        // a port follows the last colon, unless the entry is an IPv6 address without brackets
        if (entry.LastIndexOf(':') is > 0 and var colon && (entry.IndexOf(':') == colon || entry[colon - 1] == ']'))
        {
            if (!int.TryParse(entry[(colon + 1)..], out int only) || only != port) return false;
            entry = entry[..colon];
        }
        if (address is not null)
            return IPAddress.TryParse(entry.Trim('[', ']'), out IPAddress? same) && Unmap(same).Equals(address);
        string domain = entry.TrimStart('*').Trim('.');
        return domain.Length > 0 && (host.Equals(domain, StringComparison.OrdinalIgnoreCase)
            || host.EndsWith($".{domain}", StringComparison.OrdinalIgnoreCase));
    }

    private static bool IsInNetwork(IPAddress address, IPAddress network, int prefix)
    {
        byte[] bytes = address.GetAddressBytes(), start = network.GetAddressBytes();
        if (bytes.Length != start.Length || prefix < 0 || prefix > bytes.Length * 8) return false;
        for (int bit = 0; bit < prefix; bit++)
            if (((bytes[bit / 8] ^ start[bit / 8]) & (0x80 >> (bit % 8))) != 0) return false;
        return true;
    }

    private static IPAddress Unmap(IPAddress address) =>
        address.AddressFamily == AddressFamily.InterNetworkV6 && address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;

    private static string? ReadVariable(string name)
    {
        string? value = Environment.GetEnvironmentVariable(name);
        if (string.IsNullOrWhiteSpace(value)) value = Environment.GetEnvironmentVariable(name.ToUpperInvariant());
        return string.IsNullOrWhiteSpace(value) ? null : value;
    }
}
