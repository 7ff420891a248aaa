using Ndif.Engine.Compiling;
using Ndif.Engine.Running;
using Ndif.Engine.Tests.Support;
using Ndif.Protocol;
using Ndif.Tests.Support.Models;

namespace Ndif.Engine.Tests.Kernels.Costs;

/// <summary>
/// A program may call any module with an argument without elements, or of any other shape: it has a result or an error, and the process
/// goes on.
/// </summary>
public sealed class EmptyModuleCallTests
{
    private static readonly int[] _prompt = [1, 2, 3];

    private static readonly long[][] _shapes =
        [[0], [1, 0], [0, 3], [1, 0, 16], [0, 3, 16], [1, 3, 0], [1, 0, 32], [0, 3, 32]];

    [Theory]
    [InlineData("gpt2")]
    [InlineData("MixtralForCausalLM")]
    [InlineData("Qwen3MoeForCausalLM")]
    [InlineData("MambaForCausalLM")]
    public void ACallOfAModule_WithAnEmptyArgument_Ends(string architecture)
    {
        using var fixture = EngineFixture.Of(TinyModel.Fused(architecture));
        int completed = 0, failed = 0;
        foreach (string path in fixture.HookedModel.Paths.Where(path => path.Length > 0))
            foreach (long[] shape in _shapes)
                foreach (DType type in (DType[])[DType.Float32, DType.Int64])
                {
                    Program program = fixture.Record(
                        _prompt, _ => fixture.Model[path].Call(Op.Zeros(shape, type)).Save("result"));
                    Error? error = Run(fixture, program);
                    if (error is null) completed++;
                    else failed++;
                    Assert.NotEqual(ErrorCode.Internal, error?.Code);
                }
        Assert.True(completed > 0 && failed > 0, $"{completed} completed, {failed} failed");
    }

    private static Error? Run(EngineFixture fixture, Program program)
    {
        try
        {
            using var job = new JobRun(Compiler.Compile(program, fixture.HookedModel), new JobOutcome());
            ProgramEngine.Run(fixture.HookedModel, [job]);
            return job.Error;
        }
        catch (NdifException refusal)
        {
            return refusal.Error; // of a module that cannot be called
        }
    }
}
