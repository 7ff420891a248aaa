using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;

namespace Ndif.Server.Hosting;

/// <summary>
/// The TLS certificate of a gateway, with the intermediate certificates of its file: clients trust roots, and know no intermediates. The
/// files are read again when they change. While files cannot be used, the previous certificate stays; they are reported once and tried at
/// each interval, because a certificate may become valid and a disk may be readable again without a change of the files.
/// </summary>
public sealed class ServerCertificate
{
    private readonly GatewayOptions _options;
    private byte[] _fingerprint;
    private byte[]? _refusedFingerprint; // of the files that were reported as unusable; null if the last ones were usable
    private volatile SslStreamCertificateContext _context;

    /// <exception cref="OptionsException">The files cannot be used.</exception>
    public ServerCertificate(GatewayOptions options)
    {
        _options = options;
        try
        {
            _fingerprint = ComputeFingerprint();
            _context = Read(options);
        }
        catch (Exception unusable) when (unusable is CryptographicException or IOException or UnauthorizedAccessException)
        {
            throw new OptionsException([$"The certificate file `{options.CertificateFile}` or its key cannot be used: {unusable.Message}"]);
        }
    }

    /// <summary>The certificate for new connections.</summary>
    public SslStreamCertificateContext Context => _context;

    /// <summary>Reads the files if their content is not that of the certificate in use.</summary>
    public void ReloadIfChanged(ILogger logger)
    {
        byte[] fingerprint = []; // of files that cannot be read
        try
        {
            fingerprint = ComputeFingerprint();
            if (!fingerprint.AsSpan().SequenceEqual(_fingerprint))
            {
                SslStreamCertificateContext changed = Read(_options);
                X509Certificate2 leaf = changed.TargetCertificate;
                if (IsValidNow(_context) && !IsValidNow(changed))
                    throw new CryptographicException($"it is valid from {leaf.NotBefore:u} until {leaf.NotAfter:u}, which is not now.");
                (_context, _fingerprint) = (changed, fingerprint);
                logger.CertificateReloaded(_options.CertificateFile!, leaf.Subject, leaf.NotAfter);
            }
            _refusedFingerprint = null;
        }
        catch (Exception unusable) when (unusable is CryptographicException or IOException or UnauthorizedAccessException)
        {
            if (_refusedFingerprint is { } reported && reported.AsSpan().SequenceEqual(fingerprint)) return;
            _refusedFingerprint = fingerprint;
            logger.CertificateNotReloaded(_options.CertificateFile!, unusable.Message, _context.TargetCertificate.NotAfter);
        }
    }

    /// <summary>Reports a certificate that is expired or not valid yet.</summary>
    public void ReportValidity(ILogger logger)
    {
        X509Certificate2 leaf = _context.TargetCertificate;
        if (!IsValidNow(_context)) logger.CertificateNotValid(_options.CertificateFile!, leaf.NotBefore, leaf.NotAfter);
    }

    /// <summary>Returns whether clients accept the dates of a certificate, by the clock of this machine.</summary>
    private static bool IsValidNow(SslStreamCertificateContext context) =>
        DateTime.Now is var now && context.TargetCertificate.NotBefore <= now && now <= context.TargetCertificate.NotAfter;

    /// <summary>Reads the certificate that the private key belongs to, wherever it is in the file, and the other ones as its
    /// chain.</summary>
    /// <exception cref="CryptographicException">The file has no certificate, or none for the key.</exception>
    internal static SslStreamCertificateContext Read(GatewayOptions options)
    {
        (X509Certificate2 leaf, X509Certificate2Collection chain) = Path.GetExtension(options.CertificateFile!) is ".pfx" or ".p12"
            ? ReadPkcs12(options) : ReadPem(options);
        return SslStreamCertificateContext.Create(leaf, chain, offline: true);
    }

    private static (X509Certificate2 Leaf, X509Certificate2Collection Chain) ReadPkcs12(GatewayOptions options)
    {
        X509Certificate2Collection all =
            X509CertificateLoader.LoadPkcs12CollectionFromFile(options.CertificateFile!, options.CertificatePassword);
        X509Certificate2 leaf = all.FirstOrDefault(certificate => certificate.HasPrivateKey)
            ?? throw new CryptographicException("it holds no private key.");
        return (leaf, [.. all.Where(certificate => certificate != leaf)]);
    }

    private static (X509Certificate2 Leaf, X509Certificate2Collection Chain) ReadPem(GatewayOptions options)
    {
        X509Certificate2Collection all = [];
        all.ImportFromPemFile(options.CertificateFile!);
        if (all.Count == 0) throw new CryptographicException("it holds no certificate in PEM.");
        string key = File.ReadAllText(options.CertificateKeyFile ?? options.CertificateFile!);
        Exception? mismatch = null;
        foreach (X509Certificate2 certificate in all)
        {
            try
            {
                string pem = certificate.ExportCertificatePem();
                X509Certificate2 leaf = options.CertificatePassword is { } password
                    ? X509Certificate2.CreateFromEncryptedPem(pem, key, password) : X509Certificate2.CreateFromPem(pem, key);
                return (leaf, [.. all.Where(other => other != certificate)]);
            }
            catch (Exception other) when (other is CryptographicException or ArgumentException)
            {
                mismatch ??= other;
            }
        }
        throw new CryptographicException($"the private key belongs to none of its {all.Count} certificates, or cannot be read.", mismatch);
    }

    private byte[] ComputeFingerprint()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(File.ReadAllBytes(_options.CertificateFile!));
        if (_options.CertificateKeyFile is { } key) hash.AppendData(File.ReadAllBytes(key));
        return hash.GetHashAndReset();
    }
}

/// <summary>Reads the certificate again when its files change.</summary>
internal sealed class CertificateReloadService(
    ServerCertificate certificate, GatewayOptions options, TimeProvider time, ILogger<CertificateReloadService> logger)
    : PeriodicBackgroundService("certificate reload", options.CertificateReloadInterval, time, logger)
{
    protected override Task ExecuteOnceAsync(CancellationToken cancellationToken)
    {
        certificate.ReloadIfChanged(logger);
        return Task.CompletedTask;
    }
}
