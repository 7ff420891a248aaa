using System.Buffers;
using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace Ndif.Server.Keys;

/// <summary>
/// An API key: <c>ndif_</c>, an id of 8 letters and digits for the lookup, <c>_</c>, and a secret of 256 random bits in base64url
/// (43 characters). <see cref="ToString"/> omits the secret, so that a log message cannot leak it; only <see cref="Reveal"/> returns the
/// whole text.
/// </summary>
public sealed class ApiKey
{
    private const string Prefix = "ndif_";
    private const string IdAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789";
    private const string SecretAlphabet = IdAlphabet + "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_"; // base64url
    private const int IdLength = 8;
    private const int SecretLength = 43;

    private static readonly SearchValues<char> _idCharacters = SearchValues.Create(IdAlphabet);
    private static readonly SearchValues<char> _secretCharacters = SearchValues.Create(SecretAlphabet);

    private readonly string _secret;

    private ApiKey(string id, string secret)
    {
        Id = id;
        _secret = secret;
    }

    /// <summary>The public part of the key, which identifies its record and the owner of jobs.</summary>
    public string Id { get; }

    public static ApiKey New() => new(
        RandomNumberGenerator.GetString(IdAlphabet, IdLength),
        Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32)));

    public static bool TryParse(ReadOnlySpan<char> text, [NotNullWhen(true)] out ApiKey? key)
    {
        key = null;
        if (text.Length != Prefix.Length + IdLength + 1 + SecretLength || !text.StartsWith(Prefix, StringComparison.Ordinal)) return false;
        ReadOnlySpan<char> id = text.Slice(Prefix.Length, IdLength);
        ReadOnlySpan<char> secret = text[^SecretLength..];
        if (text[Prefix.Length + IdLength] != '_') return false;
        if (id.ContainsAnyExcept(_idCharacters) || secret.ContainsAnyExcept(_secretCharacters)) return false;
        key = new ApiKey(id.ToString(), secret.ToString());
        return true;
    }

    /// <summary>
    /// Returns the SHA-256 of the secret in lower-case hex, which is stored instead of the secret. A slow password hash is not necessary,
    /// because 256 random bits cannot be guessed.
    /// </summary>
    public string Hash() => Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(_secret)));

    /// <summary>Returns whether the secret has this hash, in constant time.</summary>
    public bool Matches(string storedHash) =>
        CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(Hash()), Encoding.ASCII.GetBytes(storedHash));

    /// <summary>Returns the whole text of the key, to be shown once.</summary>
    public string Reveal() => $"{Prefix}{Id}_{_secret}";

    public override string ToString() => $"{Prefix}{Id}_…";
}
