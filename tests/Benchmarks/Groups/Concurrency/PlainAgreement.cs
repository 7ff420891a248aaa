using Ndif.Benchmarks.Fixtures;
using Ndif.Engine;
using Ndif.Engine.Running;
using Ndif.Models.Loading;
using TorchSharp;

namespace Ndif.Benchmarks.Groups.Concurrency;

/// <summary>Compares the logits of our generations with those of plain TorchSharp, for the tokens that ours have chosen.</summary>
internal static class PlainAgreement
{
    private const int NewTokens = 4;

    /// <returns>The largest difference of two logits.</returns>
    /// <exception cref="InvalidOperationException">The two do not compute the same.</exception>
    public static double Require(ServedModel model, IPlainLanguageModel plain, int[][] prompts)
    {
        CapturingSink[] ours = [.. prompts.Select(_ => new CapturingSink())];
        JobRun[] jobs = [.. prompts.Select((prompt, row) => new JobRun(model.Compile(Record(model, prompt)), ours[row]))];
        ProgramEngine.Run(model.HookedModel, jobs);
        foreach (JobRun job in jobs)
        {
            if (job.Error is { } error) throw new InvalidOperationException(error.Message);
            job.Dispose();
        }
        using var generation = new PlainGeneration(plain, prompts, NewTokens);
        float[][] theirs = generation.RunWith([.. ours.Select(row => row.Ids[^NewTokens..])]);
        double difference = 0, largest = 0;
        for (int row = 0; row < prompts.Length; row++)
        {
            for (int step = 0; step < NewTokens; step++)
            {
                float[] own = ours[row].Logits[step];
                ReadOnlySpan<float> other = theirs[step].AsSpan(row * own.Length, own.Length);
                for (int i = 0; i < own.Length; i++)
                {
                    difference = Math.Max(difference, Math.Abs(own[i] - other[i]));
                    largest = Math.Max(largest, Math.Abs(other[i]));
                }
            }
        }
        return difference <= (model.IsFloat32 ? 1e-5 : 5e-2) * largest ? difference
            : throw new InvalidOperationException($"The two models' logits differ by {difference} of {largest}: they cannot be compared.");
    }

    private static Protocol.Program Record(ServedModel model, int[] prompt)
    {
        using Trace trace = model.Client.Generate(prompt, NewTokens, new() { IgnoreEos = true });
        foreach (int step in trace.Iter[..]) model.Client.Logits[.., ^1].Save($"step {step}");
        trace.Result.Save("ids");
        return trace.ToProgram();
    }

    /// <summary>Keeps the logits of each step and the ids.</summary>
    private sealed class CapturingSink : IRunSink
    {
        public List<float[]> Logits { get; } = [];

        public long[] Ids { get; private set; } = [];

        public void OnValueSaved(uint node, string name, object? value, bool isFinal)
        {
            using torch.Tensor flat = ((torch.Tensor)value!).to_type(name == "ids" ? torch.ScalarType.Int64 : torch.ScalarType.Float32)
                .contiguous();
            if (name == "ids") Ids = flat.data<long>().ToArray();
            else Logits.Add(flat.data<float>().ToArray());
        }

        public void OnLogged(uint node, string text) { }

        public Protocol.Data InvokeCallback(uint node, uint callback, IReadOnlyList<object?> values, TimeSpan timeout) =>
            throw new NotSupportedException();

        public void OnWarning(uint node, string module, string message) { }

        public void OnTokenGenerated(Protocol.NewToken token) { }
    }
}
