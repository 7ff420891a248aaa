using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PostProcessors;

/// <summary>
/// Applies <c>add_bos_token</c> and <c>add_eos_token</c> of tokenizer_config.json, which decide what the post-processor of
/// tokenizer.json adds around a text.
/// </summary>
/// <remarks>transformers 5, tokenization_utils_tokenizers.py, update_post_processor</remarks>
internal sealed class BosEosPostProcessor(IPostProcessor? inner, int? bosId, int? eosId) : IPostProcessor
{
    /// <summary>The id of the token that stands for the text while the added tokens are determined.</summary>
    private const int TextId = -1;

    /// <summary>Returns the post-processor of tokenizer.json, or another one if the config demands it.</summary>
    public static IPostProcessor? Create(IPostProcessor? inner, TokenizerConfig config, int? bosId, int? eosId)
    {
        if (config.AddBosToken is null && config.AddEosToken is null) return inner;
        // These classes build their post-processor from cls_token and sep_token.
        if (config.Class.Kind is TokenizerKind.Bert or TokenizerKind.Roberta or TokenizerKind.SentencePiece) return inner;

        var (before, after) = FindAddedTokens(inner);
        bool hasBos = bosId is { } bos && before.SequenceEqual([bos]), hasEos = eosId is { } eos && after.SequenceEqual([eos]);
        bool addBos = bosId is not null && (config.AddBosToken ?? (config.Class.AddsBos || hasBos));
        bool addEos = eosId is not null && (config.AddEosToken ?? hasEos);
        bool addsOthers = !(hasBos || before.Count == 0) || !(hasEos || after.Count == 0);
        if (addsOthers)
        {
            // A template with further tokens, such as GLM's, is kept.
            int? missingBos = addBos && before.FirstOrDefault(TextId) != bosId ? bosId : null;
            int? missingEos = addEos && after.LastOrDefault(TextId) != eosId ? eosId : null;
            return missingBos is null && missingEos is null ? inner : new BosEosPostProcessor(inner, missingBos, missingEos);
        }
        if (addBos == hasBos && addEos == hasEos) return inner;

        TemplatePiece[] first = Around(TemplatePiece.SequenceA());
        return new TemplatePostProcessor(first, [.. first, .. Around(TemplatePiece.SequenceB())], "tokenizer_config.json");

        TemplatePiece[] Around(TemplatePiece text) => [.. Piece(addBos, bosId, text), text, .. Piece(addEos, eosId, text)];

        static TemplatePiece[] Piece(bool isAdded, int? id, TemplatePiece text) =>
            isAdded ? [TemplatePiece.Token(id!.Value, text.TypeId)] : [];
    }

    public List<List<Token>> Process(List<List<Token>> sequences, bool addSpecialTokens)
    {
        List<List<Token>> result = [.. inner?.Process(sequences, addSpecialTokens) ?? sequences];
        if (!addSpecialTokens) return result;
        if (bosId is { } first) result.Insert(0, [new Token(first, default)]);
        if (eosId is { } last) result.Add([new Token(last, default)]);
        return result;
    }

    private static (List<int> Before, List<int> After) FindAddedTokens(IPostProcessor? processor)
    {
        List<List<Token>> text = [[new Token(TextId, default, "")]];
        List<int> ids = [.. (processor?.Process(text, addSpecialTokens: true) ?? text).SelectMany(tokens => tokens)
            .Select(token => token.Id)];
        int index = ids.IndexOf(TextId);
        return index < 0 ? (ids, []) : (ids[..index], ids[(index + 1)..]);
    }
}
