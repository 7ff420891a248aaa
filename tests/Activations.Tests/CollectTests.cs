using Ndif.Activations.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Activations.Tests;

/// <summary>What a collection contains.</summary>
public sealed class CollectTests : IDisposable
{
    private static readonly LanguageModel _llm = new(Collected.ModelId);

    private readonly TempFolder _temp = new();

    private string Folder => _temp.File("activations");

    public void Dispose() => _temp.Dispose();

    [Fact]
    public async Task Rows_AreTheRealTokens_WithTheValuesOfEachTextAlone()
    {
        string[] texts = Collected.Texts(60);
        CollectReport report =
            await CollectAsync(texts, new CollectOptions { BatchTokens = 200, LookaheadTexts = 25, ShardBytes = 100_000 });

        Assert.Equal((60, 0, 0), (report.Texts, report.EmptyTexts, report.ResumedRows));
        Assert.True(report.Shards > 2);
        var rows = Collected.ReadRows(Folder);
        Assert.Equal(report.Rows, rows.Count);
        await Collected.AssertAreOfModelAsync(_llm, [.. texts.Select(Tokenize)], rows);
        SafetensorsActivations.Open(Folder).Verify(Collected.Cancel);
    }

    [Fact]
    public async Task SeveralSites_InAnyOrder_AreReadInOnePass()
    {
        string[] texts = Collected.Texts(9);
        string[] sites = ["transformer.h.2.mlp.output", "transformer.h.0.hidden", "transformer.h.2.attn.c_proj.input"];
        await _llm.CollectAsync(texts, sites, Folder, cancellationToken: Collected.Cancel);
        Assert.Equal(sites, SafetensorsActivations.Open(Folder).Sites.Select(site => site.Name));
        foreach (string site in sites)
            await Collected.AssertAreOfModelAsync(_llm, [.. texts.Select(Tokenize)], Collected.ReadRows(Folder, site), site);
    }

    [Theory]
    [InlineData("gpt2")]
    [InlineData("BertModel")] // pads on the right
    public async Task TokenIds_AreCollected_FromAModelWithoutTokenizer(string architecture)
    {
        using var checkpoint = new TempFolder();
        TinyModel.Write(checkpoint, TinyConfigs.Of(architecture, 2));
        TransformersModel model = architecture == "gpt2" ? new LanguageModel(checkpoint.Path) : new SequenceModel(checkpoint.Path);
        string site = $"{model.Layers[0].Path}.hidden";
        int[][] rows = [[3, 4, 5], [6], [], [7, 8, 9, 10, 11], [3, 4]];

        NdifException failure = await Assert.ThrowsAsync<CheckpointException>(
            () => model.CollectAsync((string[])["a text"], [site], _temp.File("texts"), cancellationToken: Collected.Cancel));
        Assert.Equal(ErrorCode.BadTokenizer, failure.Code);
        await model.CollectAsync(TextDataset.FromTokens(rows), [site], Folder, cancellationToken: Collected.Cancel);
        await Collected.AssertAreOfModelAsync(model, rows, Collected.ReadRows(Folder, site), site);

        failure = await Assert.ThrowsAsync<NdifException>(() => model.CollectAsync(
            TextDataset.FromTokens([[3], [4, 40]]), [site], _temp.File("unknown"), cancellationToken: Collected.Cancel));
        Assert.Equal("The text 1 of the dataset has the token id 40, and the vocabulary has 40 tokens.", failure.Error.Message);
    }

    [Fact]
    public async Task Options_LeaveOutTheFirstToken_RoundAndLimitRows()
    {
        string[] texts = Collected.Texts(20);
        await CollectAsync(texts, new CollectOptions { SkipFirstToken = true });
        var exact = Collected.ReadRows(Folder);
        await Collected.AssertAreOfModelAsync(_llm, [.. texts.Select(Tokenize)], exact, firstPosition: 1);

        string rounded = _temp.File("rounded");
        CollectReport report = await _llm.CollectAsync(texts, [Collected.Site], rounded,
            new() { SkipFirstToken = true, Dtype = DType.BFloat16, MaxRows = 33 }, cancellationToken: Collected.Cancel);
        Assert.Equal(33, report.Rows);
        var rows = Collected.ReadRows(rounded);
        Assert.Equal(33, rows.Count);
        Assert.All(rows, row => Assert.Equal(
            TensorData.FromArray(exact[row.Key].Values).To(DType.BFloat16).ToArray<float>(), row.Value.Values));
    }

    [Fact]
    public async Task UnusualTexts_AreCounted()
    {
        string longText = string.Concat(Enumerable.Repeat("the city of ", 100));
        string[] texts = ["The Eiffel Tower", "", "The Eiffel Tower", longText, "half of a pair: \ud83d."];
        CollectReport report = await CollectAsync(texts, new CollectOptions { MaxTokens = 50 });
        Assert.Equal((5, 1, 1, 0, 1), (report.Texts, report.EmptyTexts, report.TruncatedTexts, report.SkippedTexts, report.InvalidTexts));
        int[][] tokens = [Tokenize(texts[0]), [], Tokenize(texts[0]), Tokenize(longText)[..50], Tokenize("half of a pair: \ufffd.")];
        await Collected.AssertAreOfModelAsync(_llm, tokens, Collected.ReadRows(Folder));

        report = await _llm.CollectAsync(texts, [Collected.Site], _temp.File("skipped"),
            new() { LongTexts = LongTexts.Skip, InvalidTexts = InvalidTexts.Skip }, cancellationToken: Collected.Cancel);
        Assert.Equal((1, 0, 2, 1), (report.EmptyTexts, report.TruncatedTexts, report.SkippedTexts, report.InvalidTexts));
        NdifException refused = await Assert.ThrowsAsync<NdifException>(() => _llm.CollectAsync(texts, [Collected.Site],
            _temp.File("refused"), new() { LongTexts = LongTexts.Refuse }, cancellationToken: Collected.Cancel));
        Assert.Contains("The text 3 of the dataset has 3", refused.Message, StringComparison.Ordinal);
        refused = await Assert.ThrowsAsync<NdifException>(() => _llm.CollectAsync(texts, [Collected.Site],
            _temp.File("invalid"), new() { InvalidTexts = InvalidTexts.Refuse }, cancellationToken: Collected.Cancel));
        Assert.Contains("The text 4 of the dataset is not valid UTF-8", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ADatasetWithoutTexts_IsAnEmptyCollection()
    {
        CollectReport report = await CollectAsync([], new CollectOptions());
        Assert.Equal((0, 0, 0), (report.Texts, report.Rows, report.Shards));
        Assert.Empty(SafetensorsActivations.Open(Folder).Read(10));
        Assert.True(SafetensorsActivations.Open(Folder).IsComplete);
    }

    [Theory]
    [InlineData("transformer.h.1.output", "The site `transformer.h.1.output` is a tuple or list")]
    [InlineData("transformer.h.1.inputs", "The site `transformer.h.1.inputs` is a")]
    [InlineData("transformer.h.9.hidden", "has no module `transformer.h.9`")]
    public async Task ASiteWithoutAnEntryForEachToken_IsRefused_BeforeAnythingIsWritten(string site, string expected)
    {
        NdifException failure = await Assert.ThrowsAnyAsync<NdifException>(
            () => _llm.CollectAsync(Collected.Texts(3), [site], Folder, cancellationToken: Collected.Cancel));
        Assert.Contains(expected, failure.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Folder));
    }

    [Fact]
    public async Task ASiteOfAnotherShape_IsRefused()
    {
        using var checkpoint = new TempFolder();
        TinyModel.Write(checkpoint, TinyConfigs.Of("BertModel", 2));
        NdifException failure = await Assert.ThrowsAnyAsync<NdifException>(() => new SequenceModel(checkpoint.Path).CollectAsync(
            TextDataset.FromTokens([[3]]), ["pooler.output"], Folder, cancellationToken: Collected.Cancel));
        Assert.Contains("for 2 texts of 3 tokens its shape is [2, 16], not [2, 3, ...]", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Float16Overflows_AreCounted()
    {
        LanguageModel large = _llm.Edit(() => _llm["transformer.h.1"].Hidden *= 1e6);
        CollectReport report = await large.CollectAsync(
            Collected.Texts(3), [Collected.Site], Folder, new() { Dtype = DType.Float16 }, cancellationToken: Collected.Cancel);
        Assert.True(report.Overflows > 0);
    }

    [Fact]
    public async Task Parquet_HasTheRowsOfSafetensors()
    {
        string[] texts = Collected.Texts(30);
        var options = new CollectOptions { Dtype = DType.BFloat16, ShardBytes = 40_000 };
        await CollectAsync(texts, options);
        string folder = _temp.File("parquet");
        await _llm.CollectAsync(texts, [Collected.Site], folder, options with { Format = ShardFormat.Parquet },
            cancellationToken: Collected.Cancel);

        var expected = Collected.ReadRows(Folder);
        int rows = 0;
        foreach (string file in Directory.EnumerateFiles(folder, "*.parquet").Order(StringComparer.Ordinal))
        {
            await using Parquet.ParquetReader reader = await Parquet.ParquetReader.CreateAsync(file, cancellationToken: Collected.Cancel);
            Parquet.Schema.DataField[] fields = reader.Schema.GetDataFields();
            for (int group = 0; group < reader.RowGroupCount; group++)
            {
                using Parquet.ParquetRowGroupReader part = reader.OpenRowGroupReader(group);
                long[] text = new long[part.RowCount];
                int[] token = new int[part.RowCount], position = new int[part.RowCount];
                await part.ReadAsync<long>(fields[0], text, cancellationToken: Collected.Cancel);
                await part.ReadAsync<int>(fields[1], token, cancellationToken: Collected.Cancel);
                await part.ReadAsync<int>(fields[2], position, cancellationToken: Collected.Cancel);
                float[] values = new float[part.RowCount * 128];
                int[] levels = new int[values.Length], definitionLevels = new int[values.Length];
                await part.ReadRawAsync<float>(fields[3], values, definitionLevels, levels, Collected.Cancel);
                for (int i = 0; i < text.Length; i++)
                {
                    Assert.Equal(expected[(text[i], position[i])].Token, token[i]);
                    Assert.Equal(expected[(text[i], position[i])].Values, values[(i * 128)..((i + 1) * 128)]);
                }
                Assert.All(levels.Index(), level => Assert.Equal(level.Index % 128 == 0 ? 0 : 1, level.Item));
                rows += text.Length;
            }
        }
        Assert.Equal(expected.Count, rows);
        NdifException failure = Assert.Throws<NdifException>(() => SafetensorsActivations.Open(folder));
        Assert.Equal(ErrorCode.BadInput, failure.Code);
    }

    private static int[] Tokenize(string text) => text.Length == 0 ? [] : [.. _llm.Tokenizer.Encode(text)];

    private Task<CollectReport> CollectAsync(string[] texts, CollectOptions options) =>
        _llm.CollectAsync(texts, [Collected.Site], Folder, options, cancellationToken: Collected.Cancel);
}
