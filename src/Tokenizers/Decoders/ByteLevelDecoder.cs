using System.Text;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.Decoders;

/// <summary>
/// Maps the chars of <see cref="ByteAlphabet"/> to bytes and decodes the bytes of all tokens as UTF-8. Invalid bytes become U+FFFD.
/// </summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/pre_tokenizers/byte_level.rs, decode_chain</remarks>
internal sealed class ByteLevelDecoder : IDecoder
{
    public List<string> Decode(List<string> tokens)
    {
        var bytes = new List<byte>();
        foreach (string token in tokens)
        {
            // A token with a char outside of the alphabet, such as an added token, is plain text.
            if (token.All(c => ByteAlphabet.ByteOf(c) >= 0))
                foreach (char c in token) bytes.Add((byte)ByteAlphabet.ByteOf(c));
            else
                bytes.AddRange(Encoding.UTF8.GetBytes(token));
        }
        return [Encoding.UTF8.GetString([.. bytes])];
    }
}
