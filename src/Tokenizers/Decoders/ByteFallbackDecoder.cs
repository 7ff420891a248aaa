using System.Globalization;
using System.Text;

namespace Ndif.Tokenizers.Decoders;

/// <summary>
/// Replaces each run of byte tokens (<c>&lt;0xNN&gt;</c>) by the text that the bytes encode in UTF-8. An invalid run becomes one U+FFFD
/// per byte.
/// </summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/decoders/byte_fallback.rs</remarks>
internal sealed class ByteFallbackDecoder : IDecoder
{
    private static readonly UTF8Encoding _strictUtf8 = new(false, throwOnInvalidBytes: true);

    public List<string> Decode(List<string> tokens)
    {
        var result = new List<string>(tokens.Count);
        var run = new List<byte>();
        foreach (string token in tokens)
        {
            if (token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>'
                && byte.TryParse(token.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte b))
            {
                run.Add(b);
                continue;
            }
            Flush(run, result);
            result.Add(token);
        }
        Flush(run, result);
        return result;
    }

    private static void Flush(List<byte> run, List<string> result)
    {
        if (run.Count == 0) return;
        try
        {
            result.Add(_strictUtf8.GetString([.. run]));
        }
        catch (DecoderFallbackException)
        {
            result.AddRange(Enumerable.Repeat("\uFFFD", run.Count));
        }
        run.Clear();
    }
}
