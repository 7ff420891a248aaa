using System.Diagnostics;
using System.Globalization;
using Ndif.Engine.Compiling;
using Ndif.Engine.HookedModels;
using Ndif.Engine.Running;
using Ndif.Engine.Tests.Support;
using Ndif.Models.Files;
using Ndif.Models.Loading;
using Ndif.Protocol;
using Ndif.Tests.Support.Models;
using TorchSharp;

namespace Ndif.Engine.Tests.Fuzz;

/// <summary>
/// No program can end the process. The programs run in a child process of this test program, which the first native abort would end.
/// NDIF_FUZZ is the number of rounds; a failing round is repeated by NDIF_FUZZ_CHILD=round:1 and the explicit test.
/// </summary>
public sealed class RandomProgramTests(ITestOutputHelper output)
{
    private const string Rounds = "NDIF_FUZZ", ChildRounds = "NDIF_FUZZ_CHILD";

    [Fact]
    public async Task RandomPrograms_EndWithATypedError_OrWell_AndTheProcessLives()
    {
        int rounds = int.Parse(Environment.GetEnvironmentVariable(Rounds) ?? "300", CultureInfo.InvariantCulture);
        var start =
            new ProcessStartInfo(Path.ChangeExtension(typeof(RandomProgramTests).Assembly.Location, OperatingSystem.IsWindows() ? ".exe"
                : null)!,
            ["-method", $"{typeof(RandomProgramTests).FullName}.{nameof(Child)}", "-explicit", "on", "-showLiveOutput", "-noColor"])
        {
            RedirectStandardOutput = true, RedirectStandardError = true, Environment = { [ChildRounds] = $"1:{rounds}" },
        };
        using Process child = Process.Start(start)!;
        Task<string> said = child.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken),
            complained = child.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        await child.WaitForExitAsync(TestContext.Current.CancellationToken);
        string text = await said + await complained;
        Assert.True(child.ExitCode == 0,
            $"The child ended with {child.ExitCode}. Its last words:\n{text[Math.Max(0, text.Length - 4000)..]}");
        Assert.Contains($"round {rounds}: ", text, StringComparison.Ordinal);
    }

    [Fact(Explicit = true)]
    public void Child()
    {
        string range = Environment.GetEnvironmentVariable(ChildRounds) ?? "1:100";
        int[] numbers = [.. range.Split(':').Select(n => int.Parse(n, CultureInfo.InvariantCulture))];
        using EngineFixture gpt2 = EngineFixture.GPT2(), llama = EngineFixture.Llama(),
            mixtral = EngineFixture.Of(TinyConfigs.Of("Mixtral", 2));
        ModelFolder folder = ModelStore.Find(gpt2.Path);
        using var scan = new HookedLanguageModel(ModelLoader.LoadShapes(folder, ModelLoader.ReadConfig(folder)));
        SortedDictionary<string, int> ends = [];
        for (int round = numbers[0]; round < numbers[0] + numbers[1]; round++)
        {
            HookedLanguageModel subject = (round % 5) switch
            {
                0 => scan, 1 or 2 => gpt2.HookedModel, 3 => mixtral.HookedModel, _ => llama.HookedModel,
            };
            var programs = new RandomProgramGenerator(
                new RandomProgramModel(subject.Paths, subject.Description, subject.IsOnMetaDevice,
                    path => [.. subject.Source(subject.IndexOf(path))?.Sites.Select(site => site.Path) ?? []]), round);
            List<JobRun> jobs = [];
            long before = torch.Tensor.TotalCount;
            for (int owners = 1 + round % 3; owners > 0; owners--)
            {
                try
                {
                    Program program = programs.Next();
                    if (numbers[1] == 1) output.WriteLine(program.ToString());
                    jobs.Add(new JobRun(Compiler.Compile(program, subject), new JobOutcome()));
                }
                catch (Exception e) when (Errors.FromException(e).Code is not ErrorCode.Internal)
                {
                    Count($"refused {Errors.FromException(e).Code}");
                }
            }
            output.WriteLine($"round {round}: {jobs.Sum(j => j.Plan.Program.Nodes.Count)} nodes");
            ProgramEngine.Run(subject, jobs);
            foreach (JobRun job in jobs)
            {
                Assert.True(job.Error?.Code is not ErrorCode.Internal, $"round {round}: {job.Error}");
                Count(job.Error is null ? "well" : $"{job.Error.Code}");
                job.Dispose();
            }
            Assert.True(torch.Tensor.TotalCount <= before, $"round {round}: {torch.Tensor.TotalCount - before} tensors are left");
        }
        output.WriteLine(string.Join(", ", ends.Select(e => $"{e.Key} {e.Value}")));

        void Count(string end) => ends[end] = ends.GetValueOrDefault(end) + 1;
    }
}
