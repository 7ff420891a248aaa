using System.Security.Cryptography.X509Certificates;
using Ndif.Queue.Redis;
using Ndif.Server;
using Ndif.Server.Hosting;

namespace Ndif.Cli.Diagnosis;

/// <summary>Checks the TLS certificate of a gateway: its key, its dates, its chain and its host names.</summary>
internal static class CertificateChecks
{
    private static readonly TimeSpan _soon = TimeSpan.FromDays(14);

    /// <param name="hostName">The name that clients use; null to not check it.</param>
    public static IReadOnlyList<Finding> Check(GatewayOptions options, string? hostName)
    {
        if (!options.HasTls)
            return [options.IsLoopback ? new("certificate", FindingLevel.Ok, "No TLS is needed on a loopback address.")
                : new("certificate", FindingLevel.Warning, "The gateway has no certificate, so keys are sent unencrypted.",
                    "Use --certificate, or a TLS proxy in front.")];
        try
        {
            options.Validate();
            System.Net.Security.SslStreamCertificateContext context = new ServerCertificate(options).Context;
            return [.. Check(context.TargetCertificate, [.. context.IntermediateCertificates], hostName)];
        }
        catch (OptionsException unusable)
        {
            return [new("certificate", FindingLevel.Error, unusable.Message)];
        }
    }

    private static IEnumerable<Finding> Check(X509Certificate2 leaf, X509Certificate2[] intermediates, string? hostName)
    {
        DateTime now = DateTime.UtcNow, from = leaf.NotBefore.ToUniversalTime(), until = leaf.NotAfter.ToUniversalTime();
        yield return now < from || now > until
            ? new("certificate dates", FindingLevel.Error, $"It is valid from {from:u} until {until:u}, which is not now.", "Renew it.")
            : until - now < _soon ? new("certificate dates", FindingLevel.Warning, $"It expires at {until:u}.", "Renew it.")
            : new("certificate dates", FindingLevel.Ok, $"Valid until {until:u}.");

        using var chain = new X509Chain();
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.DisableCertificateDownloads = true;
        chain.ChainPolicy.ExtraStore.AddRange(intermediates);
        bool isSelfSigned = leaf.SubjectName.RawData.AsSpan().SequenceEqual(leaf.IssuerName.RawData);
        if (chain.Build(leaf)) yield return new("certificate chain", FindingLevel.Ok, "It leads to a root that this machine trusts.");
        else if (isSelfSigned)
            yield return new("certificate chain", FindingLevel.Warning, "It is self-signed: clients have to be given it as --ca-file.");
        else if (chain.ChainStatus.Any(status => status.Status is X509ChainStatusFlags.PartialChain))
            yield return new("certificate chain", FindingLevel.Warning,
                $"With the {intermediates.Length} intermediate certificates of the file it leads to no root that this machine knows.",
                "Use the full chain (fullchain.pem); if the authority is your own, clients have to be given its root.");
        else
            yield return new("certificate chain", FindingLevel.Warning,
                string.Join(" ", chain.ChainStatus.Select(status => status.StatusInformation.Trim()).Distinct()),
                "If the authority is your own, clients have to be given its root.");

        if (hostName is { Length: > 0 })
            yield return leaf.MatchesHostname(hostName) ? new("certificate host", FindingLevel.Ok, $"It has the name {hostName}.")
                : new("certificate host", FindingLevel.Error, $"It does not have the name {hostName}.", "Request one for this name.");
    }
}
