using System.Text;
using Ndif.Activations.Tests.Support;
using Ndif.Protocol;

namespace Ndif.Activations.Tests;

/// <summary>How datasets are read.</summary>
public sealed class DatasetTests : IDisposable
{
    private readonly TempFolder _temp = new();

    public void Dispose() => _temp.Dispose();

    [Theory]
    [InlineData("a.txt", "one\r\ntwo \"2\"\n\nthree, 3")]
    [InlineData("a.jsonl", "{\"id\": 1, \"text\": \"one\"}\n{\"text\": \"two \\\"2\\\"\", \"more\": [{}]}\n\n{\"text\": \"three, 3\"}\n")]
    [InlineData("a.csv", "id,text\n1,one\r\n2,\"two \"\"2\"\"\"\n\n\"x\ny\",\"three, 3\"")]
    [InlineData("a.tsv", "text\tid\none\t1\n\"two \"\"2\"\"\"\t\"x\ty\"\n\nthree, 3\t2\n")]
    public async Task AFile_HasATextForEachRecord_FromAnyPositionOn(string name, string content)
    {
        foreach (string start in (string[])["", "\ufeff"]) // with a byte order mark too
        {
            TextDataset dataset = _temp.Write(name, start + content);
            List<DatasetRecord> records = await ReadAsync(dataset, default);
            Assert.Equal(["one", "two \"2\"", "", "three, 3"], records.Select(record => record.Text));
            for (int i = 0; i < records.Count; i++)
                Assert.Equal(records.Skip(i + 1), await ReadAsync(dataset, records[i].Next));
        }
    }

    [Fact]
    public async Task Parquet_IsReadByRowGroups_FromAnyPositionOn()
    {
        string path = _temp.File("a.parquet");
        var schema = new Parquet.Schema.ParquetSchema(
            new Parquet.Schema.DataField<int>("id"), new Parquet.Schema.DataField<string>("text"));
        await using (FileStream file = File.Create(path))
        await using (Parquet.ParquetWriter writer = await Parquet.ParquetWriter.CreateAsync(
            schema, file, cancellationToken: TestContext.Current.CancellationToken))
        {
            foreach (string?[] texts in (string?[][])[["one", null, "three"], ["four", "five"]])
            {
                using Parquet.ParquetRowGroupWriter group = writer.CreateRowGroup();
                await group.WriteAsync<int>(schema.GetDataFields()[0], Enumerable.Range(0, texts.Length).ToArray(),
                    cancellationToken: TestContext.Current.CancellationToken);
                await group.WriteAsync(schema.GetDataFields()[1], texts!);
            }
        }
        TextDataset dataset = path;
        string[] expected = ["one", "", "three", "four", "five"];
        for (int from = 0; from <= 5; from++)
            Assert.Equal(expected[from..], (await ReadAsync(dataset, new DatasetPosition(from, 0))).Select(record => record.Text));
        await AssertBadAsync(TextDataset.FromFile(path, "txt"), "has no column `txt`; it has `id`, `text`");
        await AssertBadAsync(TextDataset.FromFile(path, "id"), "not of texts");
        await AssertBadAsync(_temp.Write("b.parquet", "no"), "is not a Parquet file");
    }

    [Fact]
    public async Task BrokenUtf8_IsReplacedAndMarked()
    {
        byte[] broken = [.. "{\"text\": \"a"u8, 0xff, .. "b\"}\n{\"text\": \"c\\ud83d d\\\\ud83d \\ud83d\\ude00\"}\n{\"text\": \"e\"}"u8];
        string path = _temp.File("a.jsonl");
        File.WriteAllBytes(path, broken);
        List<DatasetRecord> records = await ReadAsync(path, default);
        Assert.Equal(["a\ufffdb", "c\ufffd d\\ud83d \ud83d\ude00", "e"], records.Select(record => record.Text));
        Assert.Equal([true, true, false], records.Select(record => record.IsInvalid));
        path = _temp.File("a.txt");
        File.WriteAllBytes(path, [.. "a"u8, 0xc3, .. "\nb"u8]);
        records = await ReadAsync(path, default);
        Assert.Equal([("a\ufffd", true), ("b", false)], records.Select(record => (record.Text, record.IsInvalid)));
    }

    [Fact]
    public async Task JsonArrays_AreTokenIds()
    {
        List<DatasetRecord> records = await ReadAsync(
            TextDataset.FromFile(_temp.Write("a.jsonl", "{\"ids\": [1, 2]}\n{\"ids\": []}"), "ids"), default);
        Assert.Equal([[1, 2], []], records.Select(record => record.Tokens!));
    }

    [Theory]
    [InlineData("a.jsonl", "{\"text\": \"one\"}\n{\"txt\": \"two\", \"id\": 2}", "Record 2 of", "has no `text`; it has `txt`, `id`.")]
    [InlineData("a.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"", "Record 2 of", "is not a JSON object")]
    [InlineData("a.jsonl", "{\"text\": \"one\"} {}", "Record 1 of", "is not a JSON object")]
    [InlineData("a.jsonl", "[1]", "Record 1 of", "is not a JSON object")]
    [InlineData("a.jsonl", "{\"text\": 7}", "Record 1 of", "neither a text nor an array of token ids")]
    [InlineData("a.csv", "id,txt\n1,one", "", "has no column `text`; it has `id`, `txt`.")]
    [InlineData("a.csv", "id,text\n1,one\n2", "Record 2 of", "has 1 fields, and the first line names 2 columns.")]
    [InlineData("a.csv", "id,text\n1,\"one", "Record 1 of", "has a quoted field that does not end.")]
    public Task ARecordThatCannotBeRead_IsNamed(string name, string content, params string[] expected) =>
        AssertBadAsync(_temp.Write(name, content), expected);

    [Fact]
    public void AnUnknownFile_IsAnError()
    {
        Assert.Contains("does not exist", Assert.Throws<NdifException>(() => TextDataset.FromFile(_temp.File("a.txt"))).Message,
            StringComparison.Ordinal);
        Assert.Contains("unknown format `.doc`",
            Assert.ThrowsAny<NdifException>(() => TextDataset.FromFile(_temp.Write("a.doc", ""))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ALargeFile_IsReadPieceByPiece()
    {
        string path = _temp.File("a.txt");
        string line = new('x', 999);
        using (var file = new StreamWriter(path))
            for (int i = 0; i < 200_000; i++) file.WriteLine(i % 50_000 == 0 ? new string('y', 3_000_000) : line); // beyond the buffer
        TextDataset dataset = path;
        await dataset.HashAsync(Collected.Cancel);
        long before = GC.GetTotalAllocatedBytes(), texts = 0, characters = 0;
        await foreach (DatasetRecord record in dataset.ReadAsync(new DatasetPosition(0, 0), Collected.Cancel))
        {
            characters += record.Text.Length;
            if (++texts == 1000) break;
        }
        Assert.Equal(3_000_000 + (999 * 999L), characters);
        Assert.InRange(GC.GetTotalAllocatedBytes() - before, 0, 64_000_000); // of a file of 211 MB
    }

    private static async Task<List<DatasetRecord>> ReadAsync(TextDataset dataset, DatasetPosition from)
    {
        List<DatasetRecord> records = [];
        await foreach (DatasetRecord record in dataset.ReadAsync(from, Collected.Cancel)) records.Add(record);
        return records;
    }

    private static async Task AssertBadAsync(TextDataset dataset, params string[] expected)
    {
        NdifException failure = await Assert.ThrowsAsync<NdifException>(() => ReadAsync(dataset, default));
        Assert.Equal(ErrorCode.BadInput, failure.Code);
        Assert.All(expected, text => Assert.Contains(text, failure.Message, StringComparison.Ordinal));
    }
}
