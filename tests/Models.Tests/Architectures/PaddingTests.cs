using CsCheck;
using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Models.Tests.Architectures;

/// <summary>With every architecture and option, the values of a row do not depend on padding or on other rows.</summary>
public sealed class PaddingTests
{
    private const double Tolerance = 1e-4;

    private static readonly Gen<(int, int, int, int)> _cases =
        Gen.Select(Gen.Int[1, 2], Gen.Int[1, 12], Gen.Int[0, 9], Gen.Int[1, 1000]);

    public static TheoryData<string> Models => [.. TinyConfigs.Names];

    public static TheoryData<string> CausalModels => [.. TinyConfigs.CausalNames];

    [Theory]
    [MemberData(nameof(Models))]
    public void PaddedRow_GivesSameLogits_AsSingleRow(string name) => _cases.Sample((shape, tokens, padding, seed) =>
    {
        using LoadedModel model = Load(name, shape, seed, out TempFolder folder);
        using var _ = folder;
        using var nothing = no_grad();
        using var scope = NewDisposeScope();
        Tensor row = TinyModel.Ids(1, tokens, seed), other = TinyModel.Ids(1, tokens + padding, seed + 1);      // [1, seq]
        Tensor alone = TinyModel.Logits(model, row);                                                            // [1, seq, vocab]
        Tensor pad = zeros([1, padding], ScalarType.Int64);                                                     // [1, padding]
        bool isRight = model.Root.PadsRight;
        Tensor padded = cat(isRight ? [row, pad] : [pad, row], 1), ids = cat([padded, other]);                  // [2, padding + seq]
        Tensor mask = ones_like(ids);                                                                           // [2, padding + seq]
        long first = isRight ? 0 : padding;
        mask[0, ..] = 0;
        mask[0, (int)first..(int)(first + tokens)] = 1;
        Tensor together = TinyModel.Logits(model, ids, mask);                                                   // [2, padding + seq, vocab]
        bool hasTokens = model.Root.Task is not Protocol.ModelTask.SequenceClassification;
        AssertSame(alone[0], hasTokens ? together[0].narrow(0, first, tokens) : together[0]);
        AssertSame(TinyModel.Logits(model, other)[0], together[1]);
    }, iter: 12);

    [Theory]
    [MemberData(nameof(CausalModels))]
    public void Cache_GivesSameLogits_AsNone(string name) => _cases.Sample((shape, tokens, more, seed) =>
    {
        using LoadedModel model = Load(name, shape, seed, out TempFolder folder);
        using var _ = folder;
        using var nothing = no_grad();
        using var scope = NewDisposeScope();
        Tensor ids = TinyModel.Ids(2, tokens + more, seed), mask = ones_like(ids);                              // [2, seq + more]
        mask[0, ..(tokens / 2)] = 0;
        Tensor whole = TinyModel.Logits(model, ids, mask);                                                      // [2, seq + more, vocab]
        using KeyValueCache cache = model.NewCache();
        List<Tensor> parts = [TinyModel.Logits(model, ids.narrow(1, 0, tokens), mask.narrow(1, 0, tokens), cache)];
        for (int at = tokens; at < tokens + more; at++)
            parts.Add(TinyModel.Logits(model, ids.narrow(1, at, 1), mask.narrow(1, 0, at + 1), cache));
        Assert.Equal(tokens + more, cache.Length);
        Tensor real = mask.to(ScalarType.Bool);
        AssertSame(whole[real], cat(parts, 1)[real]);
    }, iter: 12);

    [Theory]
    [MemberData(nameof(CausalModels))]
    public void RowThatLeaves_ChangesNothing_ForTheRest(string name) => _cases.Sample((shape, tokens, more, seed) =>
    {
        using LoadedModel model = Load(name, shape, seed, out TempFolder folder);
        using var _ = folder;
        using var nothing = no_grad();
        using var scope = NewDisposeScope();
        more++;
        Tensor ids = TinyModel.Ids(3, tokens + more, seed), mask = ones_like(ids);                              // [3, seq + more]
        mask[2, ..(tokens / 2)] = 0;
        using KeyValueCache cache = model.NewCache();
        TinyModel.Logits(model, ids.narrow(1, 0, tokens), mask.narrow(1, 0, tokens), cache);
        cache.SelectRows([2, 0]);                                                                               // row 1 has ended
        Tensor staying = tensor(new long[] { 2, 0 });
        (ids, mask) = (ids.index_select(0, staying), mask.index_select(0, staying));
        List<Tensor> parts = [];
        for (int at = tokens; at < tokens + more; at++)
            parts.Add(TinyModel.Logits(model, ids.narrow(1, at, 1), mask.narrow(1, 0, at + 1), cache));
        Tensor whole = TinyModel.Logits(model, ids, mask).narrow(1, tokens, more);                              // [2, more, vocab]
        AssertSame(whole.flatten(0, 1), cat(parts, 1).flatten(0, 1));
    }, iter: 8);

    /// <summary>
    /// Asserts that the logits are near, and that the most likely tokens are equal or have logits that differ only by rounding.
    /// </summary>
    /// <param name="expected">[seq, vocab]</param>
    private static void AssertSame(Tensor expected, Tensor actual)
    {
        Assert.InRange(TinyModel.Difference(expected, actual), 0, Tolerance);
        (expected, actual) = (expected.view(-1, expected.size(-1)), actual.reshape(-1, actual.size(-1)));       // one row for a text
        Tensor chosen = expected.gather(1, actual.argmax(-1, keepdim: true));                                   // [seq, 1]
        Assert.InRange((expected.amax([1], keepdim: true) - chosen).max().item<float>(), 0, 1e-5);
    }

    private static LoadedModel Load(string name, int shape, long seed, out TempFolder folder)
    {
        folder = new TempFolder();
        TinyModel.Write(folder, TinyConfigs.Of(name, shape), seed);
        return TinyModel.Load(folder.Path);
    }
}
