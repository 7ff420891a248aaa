using Ndif.Tokenizers.AddedTokens;
using Ndif.Tokenizers.Decoders;
using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Models;
using Ndif.Tokenizers.Normalizers;
using Ndif.Tokenizers.PostProcessors;
using Ndif.Tokenizers.PreTokenizers;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers;

/// <summary>
/// The stages of one tokenizer.json: added tokens, normalizer, pre-tokenizer, model, post-processor and decoder. The pipeline is
/// thread-safe: after construction, only the model's word cache changes.
/// </summary>
/// <remarks>huggingface/tokenizers, tokenizers/src/tokenizer/mod.rs, TokenizerImpl</remarks>
internal sealed class TokenizerPipeline
{
    /// <summary>The longest text of an added token that is kept to trim its offsets: matches in the same white space overlap.</summary>
    private const int MaxStrippedText = 256;

    private readonly INormalizer? _normalizer;
    private readonly IPreTokenizer? _preTokenizer;
    private readonly ITokenizerModel _model;
    private readonly IPostProcessor? _postProcessor;
    private readonly IDecoder? _decoder;

    public TokenizerPipeline(JsonSection root, TokenizerConfig config, TokenDeclarations declarations)
    {
        if (root.Optional("version") is { } version && version.String() != "1.0")
            throw version.CreateException($"the version '{version.String()}' is unknown; 1.0 is expected");
        var stages = StageOverrides.Apply(root, config);
        _normalizer = stages.Normalizer is { } normalizer ? NormalizerReader.Read(normalizer) : null;
        _preTokenizer = stages.PreTokenizer is { } preTokenizer ? PreTokenizerReader.Read(preTokenizer) : null;
        _model = ModelReader.Read(root.Required("model"));
        Added = new AddedVocabulary(root.Optional("added_tokens"), _model.Vocabulary, _normalizer, declarations,
            config.SplitSpecialTokens);
        var postProcessor = stages.PostProcessor is { } processor ? PostProcessorReader.Read(processor, TokenOf) : null;
        _postProcessor = BosEosPostProcessor.Create(postProcessor, config, IdOf(config.BosToken), IdOf(config.EosToken));
        _decoder = stages.Decoder is { } decoder ? DecoderReader.Read(decoder) : null;
        // The tokens of byte-pair encoding have their spaces, so that no space of a text comes from joining tokens.
        CleanUpTokenizationSpaces = config.CleanUpTokenizationSpaces && (_model is not BpeModel || config.CleanUpBytePairEncoding);
    }

    /// <summary>True if decoding removes spaces before punctuation.</summary>
    public bool CleanUpTokenizationSpaces { get; }

    public AddedVocabulary Added { get; }

    public int VocabularySize => _model.Vocabulary.Count + Added.Count;

    public int? IdOf(string? token) => token is null ? null : Added.IdOf(token) ?? _model.Vocabulary.IdOf(token);

    public string? TokenOf(int id) => Added.TokenOf(id) ?? _model.Vocabulary.TokenOf(id);

    /// <summary>Runs all stages on each text and combines the sequences with the post-processor.</summary>
    public List<Token> Encode(bool addSpecialTokens, params ReadOnlySpan<string> texts)
    {
        var sequences = new List<List<Token>>(texts.Length);
        for (int i = 0; i < texts.Length; i++)
        {
            List<Token> tokens = Encode(texts[i]);
            sequences.Add(i == 0 ? tokens : [.. tokens.Select(token => token with { TypeId = i })]);
        }
        return PostProcess(sequences, addSpecialTokens);
    }

    /// <summary>Runs all stages on one text.</summary>
    public List<Token> Encode(bool addSpecialTokens, ReadOnlySpan<char> text) => PostProcess([Encode(text)], addSpecialTokens);

    private List<Token> PostProcess(List<List<Token>> sequences, bool addSpecialTokens)
    {
        if (_postProcessor is not null) sequences = _postProcessor.Process(sequences, addSpecialTokens);
        return sequences.Count == 1 ? sequences[0] : [.. sequences.SelectMany(tokens => tokens)];
    }

    private List<Token> Encode(ReadOnlySpan<char> text)
    {
        var tokens = new List<Token>(text.Length / 3 + 4);
        var tokenSpans = new List<TokenSpan>();
        foreach (var (span, added) in Added.RawTextMatcher.Find(text))
        {
            if (added is not null)
                tokens.Add(CreateAddedToken(added, new Origin(span.Start, span.End), text[span.Start..span.End]));
            else
                EncodeBetweenAddedTokens(AlignedText.Of(text, span), tokens, tokenSpans);
        }
        return tokens;
    }

    /// <summary>Appends the tokens of a range of text that contains no added token of the raw text.</summary>
    /// <param name="text">The text of the range.</param>
    /// <param name="tokens">The list to append to.</param>
    /// <param name="tokenSpans">A buffer that the calls share.</param>
    private void EncodeBetweenAddedTokens(AlignedText text, List<Token> tokens, List<TokenSpan> tokenSpans)
    {
        if (_normalizer is not null) text = _normalizer.Normalize(text);
        foreach (var (span, added) in Added.NormalizedTextMatcher.Find(text.Chars))
        {
            if (added is not null)
            {
                tokens.Add(CreateAddedToken(added, text.Covering(span.Start, span.End), text.Chars[span.Start..span.End]));
                continue;
            }
            var preTokenized = new PreTokenizedText(text, [span]);
            if (_preTokenizer is not null) preTokenized = _preTokenizer.Split(preTokenized);
            tokenSpans.Clear();
            foreach (var word in preTokenized.Spans)
                _model.Tokenize(preTokenized.Text.Chars[word.Start..word.End], word.Start, tokenSpans);
            foreach (var (id, start, end) in tokenSpans)
                tokens.Add(new Token(id, preTokenized.Text.Covering(start, end)));
        }
    }

    private static Token CreateAddedToken(AddedToken token, Origin origin, ReadOnlySpan<char> text) =>
        new(token.Id, origin, (token.LeftStrip || token.RightStrip) && text.Length <= MaxStrippedText ? text.ToString() : null);

    /// <summary>The decoder's input for an id; null if no token has this id or the token is to be skipped.</summary>
    public string? TextOf(int id, bool skipSpecialTokens)
    {
        string? text = Added.TextOf(id) ?? _model.Vocabulary.TokenOf(id);
        return text is not null && skipSpecialTokens && Added.IsSpecial(text) ? null : text;
    }

    /// <summary>Decodes ids. Without a decoder, the tokens are joined with spaces, as in Hugging Face tokenizers.</summary>
    public string Decode(IEnumerable<int> ids, bool skipSpecialTokens)
    {
        var tokens = new List<string>();
        foreach (int id in ids)
            if (TextOf(id, skipSpecialTokens) is { } token) tokens.Add(token);
        string text = _decoder is null ? string.Join(' ', tokens) : string.Concat(_decoder.Decode(tokens));
        return CleanUpTokenizationSpaces ? TokenizationSpaceCleanup.ApplyToText(text) : text;
    }
}
