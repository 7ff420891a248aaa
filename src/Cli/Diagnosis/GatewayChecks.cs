using System.Security.Cryptography.X509Certificates;
using Ndif.Queue;
using Ndif.Server;
using Ndif.Server.Hosting;

namespace Ndif.Cli.Diagnosis;

/// <summary>Checks the options of a gateway, and its TLS certificate: its key, its dates, its chain and its host names.</summary>
internal static class GatewayChecks
{
    private static readonly TimeSpan _soon = TimeSpan.FromDays(14);

    /// <param name="hostName">The name that clients use; null to not check it.</param>
    public static IReadOnlyList<CheckResult> Check(GatewayOptions options, string? hostName)
    {
        try
        {
            options.Validate();
        }
        catch (OptionsException invalid)
        {
            return [new("options", CheckLevel.Error, invalid.Message)];
        }
        return [.. CheckStorage(options), .. CheckCertificate(options, hostName)];
    }

    /// <summary>
    /// Finds limits on what a key stores, of the gateway and of its tiers, that are not reached, because they are too large a part of the
    /// total. The defaults of the gateway are reduced without a warning: an operator sets the totals alone.
    /// </summary>
    private static IEnumerable<CheckResult> CheckStorage(GatewayOptions options)
    {
        var defaults = new GatewayOptions();
        (long queueBytes, long blobBytes) = options.GetMaxStorageOfKey();
        IEnumerable<(string Of, long? QueueBytes, long? BlobBytes)> limits =
        [
            ("the gateway", options.QueueBytes == defaults.QueueBytes ? null : options.QueueBytes,
                options.StoredBlobBytes == defaults.StoredBlobBytes ? null : options.StoredBlobBytes),
            .. options.Tiers.Select(tier => ($"the tier `{tier.Key}`", tier.Value.QueueBytes, tier.Value.StoredBlobBytes)),
        ];
        foreach ((string of, long? queue, long? blobs) in limits)
        {
            if (queue > queueBytes) yield return Reduced($"QueueBytes of {of}", queue.Value, "TotalQueueBytes", queueBytes);
            if (blobs > blobBytes) yield return Reduced($"StoredBlobBytes of {of}", blobs.Value, "TotalBlobBytes", blobBytes);
        }

        CheckResult Reduced(string limit, long bytes, string total, long most) => new(
            "storage limits", CheckLevel.Warning, $"{limit} is {bytes / 1e9:0.###} GB, and a key stores at most "
            + $"{(options.AllowAnonymous ? "" : "a quarter of ")}what all keys may: {most / 1e9:0.###} GB.",
            $"Raise Gateway:{total} if there is room, or lower it.");
    }

    private static IReadOnlyList<CheckResult> CheckCertificate(GatewayOptions options, string? hostName)
    {
        if (!options.HasTls)
            return [options.IsLoopback ? new("certificate", CheckLevel.Ok, "No TLS is needed on a loopback address.")
                : new("certificate", CheckLevel.Warning, "The gateway has no certificate, so keys are sent unencrypted.",
                    "Use --certificate, or a TLS proxy in front.")];
        try
        {
            System.Net.Security.SslStreamCertificateContext context = new ServerCertificate(options).Context;
            return [.. Check(context.TargetCertificate, [.. context.IntermediateCertificates], hostName)];
        }
        catch (OptionsException unusable)
        {
            return [new("certificate", CheckLevel.Error, unusable.Message)];
        }
    }

    private static IEnumerable<CheckResult> Check(X509Certificate2 leaf, X509Certificate2[] intermediates, string? hostName)
    {
        DateTime now = DateTime.UtcNow, from = leaf.NotBefore.ToUniversalTime(), until = leaf.NotAfter.ToUniversalTime();
        yield return now < from || now > until
            ? new("certificate dates", CheckLevel.Error, $"It is valid from {from:u} until {until:u}, which is not now.", "Renew it.")
            : until - now < _soon ? new("certificate dates", CheckLevel.Warning, $"It expires at {until:u}.", "Renew it.")
            : new("certificate dates", CheckLevel.Ok, $"Valid until {until:u}.");

        using var chain = new X509Chain();
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.DisableCertificateDownloads = true;
        chain.ChainPolicy.ExtraStore.AddRange(intermediates);
        if (NdifConfig.CaFile is { } authority)
        {
            chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
            chain.ChainPolicy.CustomTrustStore.ImportFromPemFile(authority);
        }
        bool isSelfSigned = leaf.SubjectName.RawData.AsSpan().SequenceEqual(leaf.IssuerName.RawData);
        if (chain.Build(leaf))
            yield return new("certificate chain", CheckLevel.Ok, "It leads to a root that clients with this machine's settings trust.");
        else if (isSelfSigned)
            yield return new("certificate chain", CheckLevel.Warning, "It is self-signed: clients have to be given it as NDIF_CA_FILE.");
        else if (chain.ChainStatus.Any(status => status.Status is X509ChainStatusFlags.PartialChain))
            yield return new("certificate chain", CheckLevel.Warning,
                $"With the {intermediates.Length} intermediate certificates of the file it leads to no root that this machine knows.",
                "Use the full chain (fullchain.pem); if the authority is your own, name its root in NDIF_CA_FILE, here and for clients.");
        else
            yield return new("certificate chain", CheckLevel.Warning,
                string.Join(" ", chain.ChainStatus.Select(status => status.StatusInformation.Trim()).Distinct()),
                "If the authority is your own, name its root in NDIF_CA_FILE, here and for clients.");

        if (hostName is { Length: > 0 })
            yield return leaf.MatchesHostname(hostName) ? new("certificate host", CheckLevel.Ok, $"It has the name {hostName}.")
                : new("certificate host", CheckLevel.Error, $"It does not have the name {hostName}.", "Request one for this name.");
    }
}
