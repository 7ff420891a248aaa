using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Models;
using Ndif.Tokenizers.Normalizers;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.AddedTokens;

/// <summary>The tokens on top of the model's vocabulary: special ones, and ones that users added.</summary>
internal sealed class AddedVocabulary
{
    readonly Dictionary<string, AddedToken> _byContent = new(StringComparer.Ordinal);
    readonly Dictionary<int, AddedToken> _byId = [];
    readonly Dictionary<int, string> _normalizedText = []; // where the normalizer changes a token
    readonly HashSet<string> _special = new(StringComparer.Ordinal);

    public AddedVocabulary(JsonPart? part, Vocabulary vocabulary, INormalizer? normalizer)
    {
        // as Hugging Face: the id is the model's, or the next free one; the one in the file is only a note
        int next = vocabulary.Count;
        if (part is { } list)
            foreach (var entry in list.Items())
            {
                entry.Optional("id")?.Int(0, int.MaxValue);
                string content = entry.Required("content").String();
                if (content.Length == 0) continue;
                if (content.Length > Vocabulary.MaxTokenLength)
                    throw entry.CreateException($"the content has {content.Length} characters; the limit is {Vocabulary.MaxTokenLength}");
                bool special = entry.Bool("special", false);
                int id = _byContent.TryGetValue(content, out var earlier) ? earlier.Id : vocabulary.IdOf(content) ?? next++;
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

    /// <summary>Finds the tokens that are looked for in the text as it was given.</summary>
    public AddedTokenMatcher RawTextMatcher { get; }

    /// <summary>Finds the tokens that are looked for in the normalized text.</summary>
    public AddedTokenMatcher NormalizedTextMatcher { get; }

    /// <summary>How many of them the model's own vocabulary does not hold.</summary>
    public int Count { get; }

    public IReadOnlyList<string> SpecialTokens { get; }

    public int? IdOf(string token) => _byContent.TryGetValue(token, out var found) ? found.Id : null;

    public string? TokenOf(int id) => _byId.GetValueOrDefault(id)?.Content;

    /// <summary>The text from which decoding starts: the decoder undoes what the normalizer did.</summary>
    public string? TextOf(int id) => _normalizedText.GetValueOrDefault(id) ?? TokenOf(id);

    public bool IsSpecial(string token) => _special.Contains(token);

    AddedTokenMatcher CreateMatcher(IEnumerable<AddedToken> tokens) => new(tokens.Select(token => (token, TextOf(token.Id)!)));

    static string Normalize(string content, INormalizer normalizer) =>
        normalizer.Normalize(AlignedText.Of(content, new TextSpan(0, content.Length))).Chars.ToString();
}
