using Ndif.Tokenizers.AddedTokens;
using Ndif.Tokenizers.Decoders;
using Ndif.Tokenizers.Json;
using Ndif.Tokenizers.Models;
using Ndif.Tokenizers.Normalizers;
using Ndif.Tokenizers.PostProcessors;
using Ndif.Tokenizers.PreTokenizers;
using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers;

/// <summary>The stages of one tokenizer.json, in order. Nothing in it changes after reading but the model's cache.</summary>
internal sealed class TokenizerPipeline
{
    readonly INormalizer? _normalizer;
    readonly IPreTokenizer? _preTokenizer;
    readonly ITokenizerModel _model;
    readonly IPostProcessor? _postProcessor;
    readonly IDecoder? _decoder;

    public TokenizerPipeline(JsonPart file, TokenizerConfig config)
    {
        if (file.Optional("version") is { } version && version.String() != "1.0")
            throw version.CreateException($"the version '{version.String()}' is unknown; 1.0 is expected");
        _normalizer = file.Optional("normalizer") is { } normalizer ? NormalizerReader.Read(normalizer) : null;
        _preTokenizer = file.Optional("pre_tokenizer") is { } preTokenizer ? PreTokenizerReader.Read(preTokenizer) : null;
        _model = ModelReader.Read(file.Required("model"));
        Added = new AddedVocabulary(file.Optional("added_tokens"), _model.Vocabulary, _normalizer);
        var postProcessor = file.Optional("post_processor") is { } processor ? PostProcessorReader.Read(processor, TokenOf) : null;
        _postProcessor = BosEosPostProcessor.AddMissing(postProcessor, config.AddBos ? IdOf(config.Bos) : null, config.AddEos ? IdOf(config.Eos) : null);
        _decoder = file.Optional("decoder") is { } decoder ? DecoderReader.Read(decoder) : null;
    }

    public AddedVocabulary Added { get; }

    public int VocabularySize => _model.Vocabulary.Count + Added.Count;

    public int? IdOf(string? token) => token is null ? null : Added.IdOf(token) ?? _model.Vocabulary.IdOf(token);

    public string? TokenOf(int id) => Added.TokenOf(id) ?? _model.Vocabulary.TokenOf(id);

    /// <summary>All stages up to the post-processor, which puts the sequences together.</summary>
    public List<Token> Encode(bool addSpecialTokens, params ReadOnlySpan<string> texts)
    {
        var sequences = new List<List<Token>>(texts.Length);
        foreach (string text in texts) sequences.Add(Encode(text));
        return Join(sequences, addSpecialTokens);
    }

    public List<Token> Encode(bool addSpecialTokens, ReadOnlySpan<char> text) => Join([Encode(text)], addSpecialTokens);

    List<Token> Join(List<List<Token>> sequences, bool addSpecialTokens)
    {
        if (_postProcessor is not null) sequences = _postProcessor.Process(sequences, addSpecialTokens);
        return sequences.Count == 1 ? sequences[0] : [.. sequences.SelectMany(tokens => tokens)];
    }

    List<Token> Encode(ReadOnlySpan<char> text)
    {
        var tokens = new List<Token>(text.Length / 3 + 4);
        var pieces = new List<TokenSpan>();
        foreach (var (span, added) in Added.RawTextMatcher.Find(text))
        {
            if (added is not null)
                tokens.Add(AddedTokenOf(added, new Origin(span.Start, span.End), text[span.Start..span.End]));
            else
                EncodePart(AlignedText.Of(text, span), tokens, pieces);
        }
        return tokens;
    }

    void EncodePart(AlignedText text, List<Token> tokens, List<TokenSpan> pieces)
    {
        if (_normalizer is not null) text = _normalizer.Normalize(text);
        foreach (var (span, added) in Added.NormalizedTextMatcher.Find(text.Chars))
        {
            if (added is not null)
            {
                tokens.Add(AddedTokenOf(added, text.Covering(span.Start, span.End), text.Chars[span.Start..span.End]));
                continue;
            }
            var words = new PreTokenizedText(text, [span]);
            if (_preTokenizer is not null) words = _preTokenizer.Split(words);
            pieces.Clear();
            foreach (var word in words.Spans)
                _model.Tokenize(words.Text.Chars[word.Start..word.End], word.Start, pieces);
            foreach (var (id, start, end) in pieces)
                tokens.Add(new Token(id, words.Text.Covering(start, end)));
        }
    }

    static Token AddedTokenOf(AddedToken token, Origin origin, ReadOnlySpan<char> text) =>
        new(token.Id, origin, token.LeftStrip || token.RightStrip ? text.ToString() : null);

    /// <summary>The text from which decoding starts; null for an id that no token has, or that is to be skipped.</summary>
    public string? TextOf(int id, bool skipSpecialTokens)
    {
        string? text = Added.TextOf(id) ?? _model.Vocabulary.TokenOf(id);
        return text is not null && skipSpecialTokens && Added.IsSpecial(text) ? null : text;
    }

    public string Decode(IEnumerable<int> ids, bool skipSpecialTokens)
    {
        var tokens = new List<string>();
        foreach (int id in ids)
            if (TextOf(id, skipSpecialTokens) is { } text) tokens.Add(text);
        return _decoder is null ? string.Join(' ', tokens) : string.Concat(_decoder.Decode(tokens));
    }
}
