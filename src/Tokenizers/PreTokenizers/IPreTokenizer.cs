using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PreTokenizers;

/// <summary>The second stage of encoding: a pre-tokenizer splits a normalized text into the words that the model tokenizes.</summary>
internal interface IPreTokenizer
{
    /// <summary>Splits each word of the input.</summary>
    PreTokenizedText Split(PreTokenizedText input);
}
