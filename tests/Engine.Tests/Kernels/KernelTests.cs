using Ndif.Engine.Kernels;
using Ndif.Engine.Running;
using Ndif.Models;
using Ndif.Protocol;
using Ndif.Protocol.Ops;
using TorchSharp;
using static TorchSharp.torch;
using Tensor = TorchSharp.torch.Tensor;

namespace Ndif.Engine.Tests.Kernels;

/// <summary>Every operation against the expected values of Cases/*.txt.</summary>
public sealed class KernelTests
{
    static KernelTests() => NativeTorch.Initialize();

    public static TheoryData<string> Cases() => [.. KernelCase.Lines()];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Operation_GivesWhatPyTorchGives(string line)
    {
        var context = new KernelContext();
        var kernelCase = new KernelCase(line);
        long before = Tensor.TotalCount;
        using (var scope = NewDisposeScope())
        {
            if (kernelCase.Kind == "!!")
            {
                (ErrorCode code, string part) = kernelCase.Failure();
                Exception thrown = Assert.ThrowsAny<Exception>(() => kernelCase.Run(kernelCase.Bind(context), context));
                Assert.True(LibtorchErrors.IsTyped(thrown), thrown.ToString());
                Assert.Equal(code, Errors.FromException(thrown).Code);
                Assert.Contains(part, thrown.Message, StringComparison.Ordinal);
            }
            else
            {
                object?[] bound = kernelCase.Bind(context);
                Tensor[] copies = [.. bound.OfType<Tensor>().Select(argument => argument.clone())];
                object? result = kernelCase.Run(bound, context);
                if (kernelCase.Schema.InPlace) Assert.Same(bound[0], result);
                else if (result is Tensor && kernelCase.Schema.Parameters[0].Type != OpType.Any)
                    Assert.DoesNotContain(bound, argument => ReferenceEquals(argument, result));
                Tensor[] arguments = [.. bound.OfType<Tensor>()];
                for (int i = kernelCase.Schema.InPlace ? 1 : 0; i < arguments.Length; i++)
                    Assert.True(arguments[i].allclose(copies[i], equal_nan: true), $"{line} changed its argument {i}");
                if (kernelCase.Kind == "==") KernelAssert.Equal(line, kernelCase.Expected(), result);
                else Assert.Equal(((List<object?>)kernelCase.Expected()!).Select(size => (long)size!), ((Tensor)result!).shape);
            }
        }
        Assert.InRange(Tensor.TotalCount, 0, before); // fewer if the finalizer has freed tensors of an earlier test
    }

    [Fact]
    public void EveryRow_HasALine_AndEveryLineARow() => Assert.Equal(OpTable.Rows.Keys.Order(), KernelTable.Kernels.Keys.Order());

    [Fact]
    public void EveryOperation_HasACase()
    {
        HashSet<string> covered =
            [.. KernelCase.Lines().Select(line => new KernelCase(line)).Where(c => c.Kind != "!!").Select(c => c.Schema.Name)];
        Assert.Empty(OpTable.Rows.Keys.Except(covered).Order());
    }
}
