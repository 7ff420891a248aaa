using System.Buffers;
using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace Ndif.Server.Keys;

/// <summary>
/// The text a user holds: <c>ndif_</c>, an id of 8 letters and digits for the look-up, <c>_</c>, and a secret of 256 random bits
/// in base64url (43 characters). Prints without its secret, so that a stray log line cannot leak it; <see cref="Reveal"/> is the
/// one way to the whole text.
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
        this._secret = secret;
    }

    /// <summary>The public part: finds the key's record, names its owner in logs and jobs.</summary>
    public string Id { get; }

    public static ApiKey New() => new(
        RandomNumberGenerator.GetString(IdAlphabet, IdLength),
        Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(32)));

    public static bool TryParse(ReadOnlySpan<char> text, [NotNullWhen(true)] out ApiKey? key)
    {
        key = null;
        if (text.Length != Prefix.Length + IdLength + 1 + SecretLength || !text.StartsWith(Prefix, StringComparison.Ordinal)) return false;
        ReadOnlySpan<char> id = text.Slice(Prefix.Length, IdLength);
        ReadOnlySpan<char> _secret = text[^SecretLength..];
        if (id.ContainsAnyExcept(_idCharacters) || text[Prefix.Length + IdLength] != '_' || _secret.ContainsAnyExcept(_secretCharacters)) return false;
        key = new ApiKey(id.ToString(), _secret.ToString());
        return true;
    }

    /// <summary>
    /// What is stored instead of the secret: its SHA-256 in lower-case hex. A slow hash would add nothing: 256 random bits cannot be
    /// guessed.
    /// </summary>
    public string Hash() => Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(_secret)));

    /// <summary>True if this key's secret has the stored hash; takes the same time wherever they differ.</summary>
    public bool Matches(string storedHash) =>
        CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(Hash()), Encoding.ASCII.GetBytes(storedHash));

    /// <summary>The whole text, to be shown once.</summary>
    public string Reveal() => $"{Prefix}{Id}_{_secret}";

    public override string ToString() => $"{Prefix}{Id}_…";
}
