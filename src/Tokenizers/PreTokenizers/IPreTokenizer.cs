using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PreTokenizers;

/// <summary>The second stage: splits a normalized text into the words that the model sees one at a time.</summary>
internal interface IPreTokenizer
{
    PreTokenizedText Split(PreTokenizedText words);
}
