namespace Ndif.Tokenizers.PreTokenizers;

/// <summary>When <see cref="MetaspacePreTokenizer"/> prepends the metaspace character to a text.</summary>
internal enum PrependScheme
{
    Always,

    /// <summary>Only at the start of the original text, not after an added token.</summary>
    First,

    Never,
}
