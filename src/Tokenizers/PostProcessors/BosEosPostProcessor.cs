using Ndif.Tokenizers.Text;

namespace Ndif.Tokenizers.PostProcessors;

/// <summary>
/// Adds the bos and eos tokens that tokenizer_config.json requests with <c>add_bos_token</c> and <c>add_eos_token</c>, unless the
/// post-processor of tokenizer.json already adds them.
/// </summary>
internal sealed class BosEosPostProcessor(IPostProcessor? inner, int? bosId, int? eosId) : IPostProcessor
{
    /// <summary>Returns <paramref name="inner"/> if it adds all requested tokens, otherwise a processor that adds the others.</summary>
    public static IPostProcessor? AddMissing(IPostProcessor? inner, int? bosId, int? eosId)
    {
        List<List<Token>> emptySequence = [[]];
        Token[] added = [.. (inner?.Process(emptySequence, addSpecialTokens: true) ?? emptySequence).SelectMany(tokens => tokens)];
        if (added.Length > 0 && added[0].Id == bosId) bosId = null;
        if (added.Length > 0 && added[^1].Id == eosId) eosId = null;
        return bosId is null && eosId is null ? inner : new BosEosPostProcessor(inner, bosId, eosId);
    }

    public List<List<Token>> Process(List<List<Token>> sequences, bool addSpecialTokens)
    {
        List<List<Token>> result = [.. inner?.Process(sequences, addSpecialTokens) ?? sequences];
        if (!addSpecialTokens) return result;
        if (bosId is { } first) result.Insert(0, [new Token(first, default)]);
        if (eosId is { } last) result.Add([new Token(last, default)]);
        return result;
    }
}
