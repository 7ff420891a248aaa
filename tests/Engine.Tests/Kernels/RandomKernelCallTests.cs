using System.Diagnostics;
using System.Globalization;
using Ndif.Engine.Kernels;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Protocol.Ops;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Tests.Kernels;

/// <summary>
/// No call can end the process: random operations with hostile arguments run in a child process, which must finish with typed errors
/// only and without a remaining tensor. A failure reports the seed and the last call.
/// </summary>
public sealed class RandomKernelCallTests
{
    private const string ChildVariable = "NDIF_TEST_ABUSE";

    [Theory]
    [InlineData("cpu", 1)]
    [InlineData("cpu", 2)]
    [InlineData("meta", 3)]
    public async Task NoCall_EndsTheProcess(string device, int seed)
    {
        string log = Path.GetTempFileName();
        var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath!) == "dotnet")
            start.ArgumentList.Add(typeof(RandomKernelCallTests).Assembly.Location);
        foreach (string argument in (string[])["-explicit", "only", "-method", $"{typeof(RandomKernelCallTests).FullName}.{nameof(Child)}"])
            start.ArgumentList.Add(argument);
        start.Environment[ChildVariable] = string.Create(CultureInfo.InvariantCulture, $"{device} {seed} {log}");
        using Process child = Process.Start(start)!;
        Task<string> output = child.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken),
            errors = child.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(5));
        await child.WaitForExitAsync(patience.Token);
        string last = await File.ReadAllTextAsync(log, patience.Token);
        File.Delete(log);
        Assert.True(child.ExitCode == 0, $"exit code {child.ExitCode} after\n{last}\n{await output}\n{await errors}");
        Assert.Equal("done", last);
    }

    /// <summary>Runs only on request, in its own process.</summary>
    [Fact(Explicit = true)]
    public void Child()
    {
        string[] mark = (Environment.GetEnvironmentVariable(ChildVariable) ?? "").Split(' ');
        Assert.Equal(3, mark.Length);
        NativeTorch.Initialize();
        Device device = new(mark[0]);
        int seed = int.Parse(mark[1], CultureInfo.InvariantCulture);
        int calls = int.Parse(Environment.GetEnvironmentVariable("NDIF_TEST_CALLS") ?? "4000", CultureInfo.InvariantCulture);
        OpSchema[] rows = [.. OpTable.Rows.Values.OrderBy(row => row.Name)];
        var context = new KernelContext { Device = device, MaxTensorBytes = 1 << 24 };
        var abuse = new RandomKernelCalls(seed);
        using FileStream log = File.Create(mark[2]);
        long before = Tensor.TotalCount;
        for (int i = 0; i < calls; i++)
        {
            using DisposeScope scope = NewDisposeScope();
            abuse.Next(rows, device);
            string call = abuse.Describe();
            log.SetLength(0);
            log.Write(System.Text.Encoding.UTF8.GetBytes($"call {i}: {call}"));
            log.Flush();
            try
            {
                KernelTable.Run(abuse.Schema, abuse.Bound, context);
            }
            catch (Exception e) when (LibtorchErrors.IsTyped(e))
            {
                Assert.NotEqual(ErrorCode.Internal, Errors.FromException(e).Code);
                Assert.DoesNotContain("frame #", e.Message, StringComparison.Ordinal);
                // a failure of the checks and not of the call
                Assert.DoesNotContain("NullReference", e.Message, StringComparison.Ordinal);
                Assert.DoesNotContain("InvalidCast", e.Message, StringComparison.Ordinal);
                Assert.DoesNotContain("ArgumentOutOfRange", e.Message, StringComparison.Ordinal);
            }
        }
        Assert.InRange(Tensor.TotalCount, 0, before); // fewer if the finalizer has freed tensors of an earlier test
        log.SetLength(0);
        log.Write("done"u8);
    }
}
