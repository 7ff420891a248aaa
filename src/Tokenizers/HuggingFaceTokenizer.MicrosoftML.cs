using System.Buffers;
using Microsoft.ML.Tokenizers;

namespace Ndif.Tokenizers;

/// <summary>
/// The overrides of <see cref="Microsoft.ML.Tokenizers.Tokenizer"/>, so that code written for that class also accepts this tokenizer.
/// They include the special tokens.
/// </summary>
public sealed partial class HuggingFaceTokenizer
{
    /// <inheritdoc/>
    protected override EncodeResults<EncodedToken> EncodeToTokens(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings)
    {
        if (!settings.ConsiderNormalization || !settings.ConsiderPreTokenization)
            throw new NotSupportedException(
                "A Hugging Face tokenizer always applies all stages of tokenizer.json. " +
                "Normalization and pre-tokenization cannot be skipped.");
        var source = text is null ? textSpan : text.AsSpan();
        var tokens = _pipeline.Encode(addSpecialTokens: true, source);
        int count = Math.Min(tokens.Count, settings.MaxTokenCount);
        var result = new EncodedToken[count];
        int end = 0;
        for (int i = 0; i < count; i++)
        {
            var (id, origin, _) = tokens[i];
            // A token that is not in the text gets the empty range between its neighbors.
            var range = origin.End > 0 ? origin.Start..origin.End : end..end;
            end = range.End.Value;
            result[i] = new EncodedToken(id, _pipeline.TokenOf(id) ?? "", range);
        }
        return new EncodeResults<EncodedToken> { Tokens = result, CharsConsumed = count < tokens.Count ? end : source.Length };
    }

    /// <inheritdoc/>
    protected override EncodeResults<int> EncodeToIds(string? text, ReadOnlySpan<char> textSpan, EncodeSettings settings)
    {
        var result = EncodeToTokens(text, textSpan, settings);
        return new EncodeResults<int> { Tokens = [.. result.Tokens.Select(token => token.Id)], CharsConsumed = result.CharsConsumed };
    }

    /// <inheritdoc/>
    public override string Decode(IEnumerable<int> ids) => Decode(ids, skipSpecialTokens: false);

    /// <inheritdoc/>
    public override OperationStatus Decode(IEnumerable<int> ids, Span<char> destination, out int idsConsumed, out int charsWritten)
    {
        idsConsumed = charsWritten = 0;
        var stream = NewStream();
        int idsRead = 0;
        foreach (int id in ids)
        {
            idsRead++;
            string text = stream.Add(id);
            if (text.Length == 0) continue;
            if (!text.TryCopyTo(destination[charsWritten..])) return OperationStatus.DestinationTooSmall;
            charsWritten += text.Length;
            idsConsumed = idsRead;
        }
        string remainder = stream.Finish();
        if (!remainder.TryCopyTo(destination[charsWritten..])) return OperationStatus.DestinationTooSmall;
        charsWritten += remainder.Length;
        idsConsumed = idsRead;
        return OperationStatus.Done;
    }
}
