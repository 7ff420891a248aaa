using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Models;

namespace Ndif.Tokenizers.AddedTokens;

/// <summary>A token that is matched in the text itself, before the model tokenizes the rest.</summary>
/// <param name="Id">The token id.</param>
/// <param name="Content">The text that the token matches.</param>
/// <param name="Special">True if decoding can skip the token.</param>
/// <param name="SingleWord">True if the token matches only where no word character is next to it.</param>
/// <param name="LeftStrip">True if the match includes the white space before the token.</param>
/// <param name="RightStrip">True if the match includes the white space after the token.</param>
/// <param name="Normalized">True if the token is matched in the normalized text, false if in the raw text.</param>
/// <remarks>huggingface/tokenizers, tokenizers/src/tokenizer/added_vocabulary.rs, AddedToken</remarks>
internal sealed record AddedToken(
    int Id, string Content, bool Special, bool SingleWord, bool LeftStrip, bool RightStrip, bool Normalized)
{
    /// <summary>The id of a token to which no id is assigned yet.</summary>
    public const int NoId = -1;

    /// <summary>Reads a token of <c>added_tokens</c> or <c>added_tokens_decoder</c>, without its id.</summary>
    public static AddedToken Read(JsonSection section)
    {
        section.Optional("id")?.Int(0, int.MaxValue);
        string content = section.Required("content").String();
        if (content.Length > Vocabulary.MaxTokenLength)
            throw section.CreateException($"the content has {content.Length} characters; the limit is {Vocabulary.MaxTokenLength}");
        bool special = section.Bool("special", false);
        return new AddedToken(NoId, content, special, section.Bool("single_word", false), section.Bool("lstrip", false),
            section.Bool("rstrip", false), section.Bool("normalized", !special));
    }
}
