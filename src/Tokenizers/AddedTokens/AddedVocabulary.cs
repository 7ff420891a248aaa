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

    private readonly Vocabulary _vocabulary;
    private readonly INormalizer? _normalizer;

    /// <param name="section">The field <c>added_tokens</c> of tokenizer.json.</param>
    /// <param name="vocabulary">The model's vocabulary.</param>
    /// <param name="normalizer">The normalizer, or null.</param>
    /// <param name="declarations">The tokens that the files beside tokenizer.json declare.</param>
    /// <param name="splitSpecialTokens">True if a special token in a text is tokenized as any other text.</param>
    public AddedVocabulary(JsonSection? section, Vocabulary vocabulary, INormalizer? normalizer, TokenDeclarations declarations,
        bool splitSpecialTokens)
    {
        _vocabulary = vocabulary;
        _normalizer = normalizer;
        if (section is { } list) Add(list.Items().Select(AddedToken.Read));
        Add(declarations.TokensToAdd(_byId.Values));

        var matched = _byId.Values.Where(token => !(splitSpecialTokens && _special.Contains(token.Content))).ToList();
        RawTextMatcher = CreateMatcher(matched.Where(token => !token.Normalized));
        NormalizedTextMatcher = CreateMatcher(matched.Where(token => token.Normalized));
        Count = _byContent.Keys.Count(content => vocabulary.IdOf(content) is null);
        SpecialTokens = [.. _byId.Values.Where(token => _special.Contains(token.Content)).OrderBy(token => token.Id)
            .Select(token => token.Content)];
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

    /// <summary>
    /// Adds tokens. The id of a token is that of an added token or of the vocabulary with the same text, or the next free id. The id
    /// in a file is not used, as in Hugging Face tokenizers.
    /// </summary>
    private void Add(IEnumerable<AddedToken> tokens)
    {
        int nextId = Math.Max(_vocabulary.Count, _byId.Keys.DefaultIfEmpty(-1).Max() + 1);
        foreach (var declared in tokens)
        {
            string content = declared.Content;
            if (content.Length == 0) continue;
            var token = declared with { Id = IdOf(content) ?? _vocabulary.IdOf(content) ?? nextId++ };
            _byContent[content] = _byId[token.Id] = token;
            if (token.Special) _special.Add(content);
            if (token.Normalized && _normalizer is not null && Normalize(content, _normalizer) is var text && text != content)
                _normalizedText[token.Id] = text;
        }
    }

    private AddedTokenMatcher CreateMatcher(IEnumerable<AddedToken> tokens) =>
        new(tokens.Select(token => (token, TextOf(token.Id)!)));

    private static string Normalize(string content, INormalizer normalizer) =>
        normalizer.Normalize(AlignedText.Of(content, new TextSpan(0, content.Length))).Chars.ToString();
}
