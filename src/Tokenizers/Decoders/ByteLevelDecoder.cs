using System.Text;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Decoders;

/// <summary>Visible chars back to bytes, and all bytes together to text; what is not UTF-8 becomes U+FFFD.</summary>
internal sealed class ByteLevelDecoder : IDecoder
{
    public List<string> Decode(List<string> tokens)
    {
        var bytes = new List<byte>();
        foreach (string token in tokens)
        {
            // a token with any other char, such as an added one, is text already
            if (token.All(c => ByteAlphabet.ByteOf(c) >= 0))
                foreach (char c in token) bytes.Add((byte)ByteAlphabet.ByteOf(c));
            else
                bytes.AddRange(Encoding.UTF8.GetBytes(token));
        }
        return [Encoding.UTF8.GetString([.. bytes])];
    }
}
