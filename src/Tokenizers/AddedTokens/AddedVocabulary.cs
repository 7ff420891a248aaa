using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Models;
using Ndif.Tokenizers.Normalizers;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.AddedTokens;

/// <summary>The tokens of <c>added_tokens</c>: special tokens and tokens that users added to the model's vocabulary.</summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/tokenizer/added_vocabulary.rs</remarks>
internal sealed class AddedVocabulary
{
    private readonly Dictionary<string, AddedToken> _byContent = new(StringComparer.Ordinal);
    private readonly Dictionary<int, AddedToken> _byId = [];
    private readonly Dictionary<int, string> _normalizedText = []; // only the tokens that the normalizer changes
    private readonly HashSet<string> _special = new(StringComparer.Ordinal);

    public AddedVocabulary(JsonSection? section, Vocabulary vocabulary, INormalizer? normalizer)
    {
        // As in Hugging Face tokenizers, the id is the one in the model's vocabulary or the next free id. The id in the file is
        // validated but not used.
        int nextId = vocabulary.Count;
        if (section is { } list)
            foreach (var entry in list.Items())
            {
                entry.Optional("id")?.Int(0, int.MaxValue);
                string content = entry.Required("content").String();
                if (content.Length == 0) continue;
                if (content.Length > Vocabulary.MaxTokenLength)
                    throw entry.CreateException($"the content has {content.Length} characters; the limit is {Vocabulary.MaxTokenLength}");
                bool special = entry.Bool("special", false);
                int id = _byContent.TryGetValue(content, out var duplicate) ? duplicate.Id : vocabulary.IdOf(content) ?? nextId++;
                var token = new AddedToken(id, content, special, entry.Bool("single_word", false), entry.Bool("lstrip", false),
                    entry.Bool("rstrip", false), entry.Bool("normalized", !special));
                _byContent[content] = _byId[id] = token;
                if (special) _special.Add(content);
                if (token.Normalized && normalizer is not null && Normalize(content, normalizer) is var text && text != content)
                    _normalizedText[id] = text;
            }

        RawTextMatcher = CreateMatcher(_byId.Values.Where(token => !token.Normalized));
        NormalizedTextMatcher = CreateMatcher(_byId.Values.Where(token => token.Normalized));
        Count = _byContent.Keys.Count(content => vocabulary.IdOf(content) is null);
        SpecialTokens = [.. _byId.Values.Where(token => token.Special).OrderBy(token => token.Id).Select(token => token.Content)];
    }

    /// <summary>Finds the tokens that are matched in the raw text.</summary>
    public AddedTokenMatcher RawTextMatcher { get; }

    /// <summary>Finds the tokens that are matched in the normalized text.</summary>
    public AddedTokenMatcher NormalizedTextMatcher { get; }

    /// <summary>The number of added tokens that are not in the model's vocabulary.</summary>
    public int Count { get; }

    public IReadOnlyList<string> SpecialTokens { get; }

    public int? IdOf(string token) => _byContent.TryGetValue(token, out var found) ? found.Id : null;

    public string? TokenOf(int id) => _byId.GetValueOrDefault(id)?.Content;

    /// <summary>The decoder's input for an id: the normalized text, because the decoder reverses the normalizer.</summary>
    public string? TextOf(int id) => _normalizedText.GetValueOrDefault(id) ?? TokenOf(id);

    public bool IsSpecial(string token) => _special.Contains(token);

    private AddedTokenMatcher CreateMatcher(IEnumerable<AddedToken> tokens) =>
        new(tokens.Select(token => (token, TextOf(token.Id)!)));

    private static string Normalize(string content, INormalizer normalizer) =>
        normalizer.Normalize(AlignedText.Of(content, new TextSpan(0, content.Length))).Chars.ToString();
}
