using System.CommandLine;
using Ndif.Server;

namespace Ndif.Cli.Commands;

/// <summary>The command-line options of a gateway, which `ndif up` and `ndif serve` share.</summary>
internal sealed class GatewayArguments
{
    private readonly Option<string> _listen = new("--listen")
    {
        Description = "Address to listen on; * for all addresses. API keys are required on any address that is not loopback.",
        DefaultValueFactory = _ => "127.0.0.1",
    };

    private readonly Option<int> _port = new("--port") { Description = "Port of gRPC.", DefaultValueFactory = _ => 5080 };

    private readonly Option<int> _httpPort = new("--http-port")
    {
        Description = "Port of the status page, metrics and gRPC-Web.",
        DefaultValueFactory = _ => 5081,
    };

    private readonly Option<bool> _noKeys = new("--no-keys")
    {
        Description = "Accept calls without an API key; only on a loopback address.",
    };

    private readonly Option<string?> _certificate = new("--certificate")
    {
        Description = "PEM or PKCS#12 file of a TLS certificate; gRPC and HTTP then share one port.",
    };

    private readonly Option<string?> _certificateKey = new("--certificate-key")
    {
        Description = "PEM file of the private key of the certificate.",
    };

    public void AddTo(Command command)
    {
        foreach (Option option in new Option[] { _listen, _port, _httpPort, _noKeys, _certificate, _certificateKey })
            command.Options.Add(option);
    }

    /// <summary>
    /// Returns the options that were given explicitly, as entries of <see cref="GatewayOptions"/>. All others come from the configuration.
    /// </summary>
    public IEnumerable<KeyValuePair<string, string?>> GetExplicitValues(ParseResult parsed)
    {
        if (Has(_listen)) yield return new(nameof(GatewayOptions.Host), parsed.GetValue(_listen));
        if (Has(_port)) yield return new(nameof(GatewayOptions.GrpcPort), $"{parsed.GetValue(_port)}");
        if (Has(_httpPort)) yield return new(nameof(GatewayOptions.HttpPort), $"{parsed.GetValue(_httpPort)}");
        if (Has(_noKeys)) yield return new(nameof(GatewayOptions.AllowAnonymous), $"{parsed.GetValue(_noKeys)}");
        if (Has(_certificate)) yield return new(nameof(GatewayOptions.CertificateFile), parsed.GetValue(_certificate));
        if (Has(_certificateKey)) yield return new(nameof(GatewayOptions.CertificateKeyFile), parsed.GetValue(_certificateKey));

        bool Has(Option option) => parsed.GetResult(option) is { Implicit: false };
    }
}
