using Ndif.Activations.Tests.Support;

namespace Ndif.Activations.Tests;

/// <summary>How a collection is read back.</summary>
public sealed class ReadTests : IDisposable
{
    private const string Other = "transformer.h.2.mlp.output";

    private readonly TempFolder _temp = new();

    public void Dispose() => _temp.Dispose();

    [Fact]
    public async Task Batches_AreInOrder_OrShuffledBySeed()
    {
        var llm = new LanguageModel(Collected.ModelId);
        await llm.CollectAsync(Collected.Texts(80), [Collected.Site, Other], _temp.Path + "/activations",
            new() { Dtype = DType.Float16, ShardBytes = 100_000, LookaheadTexts = 20, BatchTokens = 128 },
            cancellationToken: Collected.Cancel);
        var activations = SafetensorsActivations.Open(_temp.File("activations"));
        Assert.True(Collected.Checksums(_temp.File("activations")).Length > 2);
        Assert.All(activations.Sites, site => Assert.Equal((DType.Float16, 128L), (site.Dtype, site.Shape.Single())));

        ActivationBatch[] batches = [.. activations.Read(70)];
        Assert.All(batches[..^1], batch => Assert.Equal(70, batch.Rows));
        Assert.Equal(activations.Rows, batches.Sum(batch => batch.Rows));
        Assert.Equal([70, 128], batches[0][Other].Shape.ToArray());
        string[] inOrder = Describe(batches), first = Describe(activations.Read(33, seed: 1));
        string[] again = Describe(activations.Read(50, seed: 1));
        Assert.Equal(inOrder, Describe(activations.Read(1_000_000)));
        Assert.Equal(first, again); // whatever the size of the batches
        Assert.NotEqual(first, Describe(activations.Read(33, seed: 2)));
        Assert.NotEqual(inOrder, first);
        Assert.Equal(inOrder.Order(StringComparer.Ordinal), first.Order(StringComparer.Ordinal));

        ActivationBatch one = activations.Read(5, [Other]).First();
        Assert.Equal(batches[0][Other].Bytes[..(5 * 256)].ToArray(), one[Other].Bytes.ToArray());
        Assert.Contains("The batch has no `transformer.h.1.hidden`",
            Assert.Throws<ArgumentException>(() => one[Collected.Site]).Message, StringComparison.Ordinal);
        Assert.Contains("Did you mean", Assert.Throws<ArgumentException>(() => activations.Read(5, ["transformer.h.1.hiden"])).Message,
            StringComparison.Ordinal);
    }

    /// <summary>Each row with its index and values.</summary>
    private static string[] Describe(IEnumerable<ActivationBatch> batches) => [.. batches.SelectMany(batch => Enumerable
        .Range(0, batch.Rows).Select(row => $"{batch.Texts.Span[row]} {batch.Tokens.Span[row]} {batch.Positions.Span[row]} "
            + Convert.ToHexString(batch[Collected.Site].Bytes.Span.Slice(row * 256, 256))
            + Convert.ToHexString(batch[Other].Bytes.Span.Slice(row * 256, 256))))];
}
