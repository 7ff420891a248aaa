using System.Text;
using Ndif.Activations;
using Ndif.Benchmarks.Harness;

namespace Ndif.Benchmarks.Groups;

/// <summary>
/// Collecting activations of the bundled model in this process: the hidden state of its last layer but one, in bfloat16. The baseline is
/// the slower of two parts of the work: the same passes over the same batches, tokenized before, without saving; and writing the same
/// number of bytes to the same disk. The three run in turn, each on a part of the dataset; all rounds together collect ten million rows.
/// </summary>
internal sealed class ActivationsGroup : BenchmarkGroup
{
    private const string Site = "transformer.h.2.hidden";
    private const int Rounds = 20, Rows = 500_000, QuickRows = 200_000;

    private readonly string _folder = Directory.CreateTempSubdirectory("ndif-benchmark-").FullName;
    private readonly LanguageModel _llm = new("ndif/tiny-landmarks");

    public override string Name => "Activations";

    public override IReadOnlyList<Benchmark> Entries => [new("activations.collect", MeasureAsync)];

    public override ValueTask DisposeAsync()
    {
        Directory.Delete(_folder, recursive: true);
        return base.DisposeAsync();
    }

    private async Task<IReadOnlyList<Measurement>> MeasureAsync(RunSettings settings, CancellationToken cancellationToken)
    {
        int rows = settings.IsQuick ? QuickRows : Rows;
        var options = new CollectOptions { Dtype = DType.BFloat16, MaxRows = rows };
        string dataset = WriteDataset(rows);
        SiteProbe probe = await SiteProbe.RunAsync(_llm, [Site], options.Dtype, Backend.Local, cancellationToken);
        List<PromptBatch> batches = [];
        await foreach (PromptBatch batch in new BatchPlanner(_llm, dataset, options).PlanAsync(CollectCursor.Start, cancellationToken))
            batches.Add(batch);
        double padding = (batches.Sum(batch => (double)batch.Texts.Count * batch.Length) / rows) - 1;

        int round = 0;
        long bytes = 0, collected = 0;
        InterleavedTimings times = await InterleavedTimings.MeasureAsync(settings.RoundCount(Rounds), warmup: 1, cancellationToken,
            async () =>
            {
                string folder = Path.Combine(_folder, $"round-{round++}");
                CollectReport report = await _llm.CollectAsync(
                    dataset, [Site], folder, options, Backend.Local, cancellationToken: cancellationToken);
                (bytes, collected) = (report.Bytes, collected + report.Rows);
                Directory.Delete(folder, recursive: true);
            },
            async () =>
            {
                foreach (PromptBatch batch in batches) await RunWithoutSavingAsync(batch, cancellationToken);
            },
            () => WriteToDiskAsync(bytes, cancellationToken));

        double collect = times.Time(0).Median, forward = times.Time(1).Median, disk = times.Time(2).Median;
        Estimate processor = times.ProcessorRatio(1, 0), ratio = forward >= disk ? times.Ratio(1, 0) : times.Ratio(2, 0);
        return
        [
            new("activations.collect, fraction of the slower part", ratio.Median, "",
                $"{(forward >= disk ? "the passes without saving" : "writing to the disk")} (± {ratio.Margin:0.000}): {rows / forward:0} "
                + $"rows/s in the passes, {rows / disk:0} to the disk ({bytes / disk / 1e6:0} MB/s); {collected / 1e6:0.00} million rows "
                + "were collected", Goal.AtLeast(0.8)),
            new("activations.collect, fraction of the passes' processor time", processor.Median, "",
                $"the processor time of the passes without saving (± {processor.Margin:0.000}), which other processes hardly affect"),
            new("activations.collect, speed", rows / collect, "rows/s", $"{100 * padding:0.0}% of the tokens in passes are padding"),
        ];
    }

    /// <summary>The pass that a collection makes, up to the same site, with a value that is read and not saved.</summary>
    private Task RunWithoutSavingAsync(PromptBatch batch, CancellationToken cancellationToken)
    {
        using Trace trace = _llm.Trace(remote: Backend.Local);
        trace.OnWarning = _ => { };
        using (trace.Invoke(batch.Texts.Select(text => text.Tokens).ToArray())) { }
        using (trace.Invoke())
        {
            _ = _llm.GetValue(Site);
            trace.Stop();
        }
        return trace.RunAsync(cancellationToken);
    }

    private async Task WriteToDiskAsync(long bytes, CancellationToken cancellationToken)
    {
        byte[] part = new byte[1 << 20];
        Random.Shared.NextBytes(part);
        string path = Path.Combine(_folder, "written");
        await using (var file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0))
        {
            for (long left = bytes; left > 0; left -= part.Length)
                await file.WriteAsync(part.AsMemory(0, (int)Math.Min(left, part.Length)), cancellationToken);
            file.Flush(flushToDisk: true);
        }
        File.Delete(path);
    }

    /// <summary>A file of texts of 8 to 120 of the model's words, with more tokens than rows are collected.</summary>
    private string WriteDataset(int rows)
    {
        string[] words = ["The", "Eiffel", "Tower", "is", "in", "the", "city", "of", "Paris", "Rome", "Big", "Ben", "London", "and"];
        var random = new Random(1);
        string path = Path.Combine(_folder, $"texts-{rows}.txt");
        using var file = new StreamWriter(path);
        var text = new StringBuilder();
        for (int written = 0; written < rows + 1000;)
        {
            text.Clear();
            int length = random.Next(8, 121);
            for (int i = 0; i < length; i++) text.Append(i == 0 ? "" : " ").Append(words[random.Next(words.Length)]);
            file.WriteLine(text);
            written += length; // each word is at least one token
        }
        return path;
    }
}
