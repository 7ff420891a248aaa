namespace Ndif.Tokenizers.AddedTokens;

/// <summary>A token that is found in the text itself, before the model sees it.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Content">The text it stands for.</param>
/// <param name="Special">Whether decoding may leave it out.</param>
/// <param name="SingleWord">Whether it must not touch a word character on either side.</param>
/// <param name="LeftStrip">Whether it takes the white space before it.</param>
/// <param name="RightStrip">Whether it takes the white space after it.</param>
/// <param name="Normalized">Whether it is looked for in the normalized text.</param>
internal sealed record AddedToken(
    int Id, string Content, bool Special, bool SingleWord, bool LeftStrip, bool RightStrip, bool Normalized);
