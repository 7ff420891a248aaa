using Ndif.Protocol.Ops;

namespace Ndif.Protocol.Tests.Ops;

public sealed class OpSchemaTests
{
    [Fact]
    public void Parse_ReadsPyTorchsSchemas()
    {
        OpSchema schema =
            OpSchema.Parse(
                "topk(Tensor self, int k, int dim=-1, bool largest=True, *, ScalarType? dtype=None) -> (Tensor values, Tensor indices)");
        Assert.Equal("topk", schema.Name);
        Assert.Equal(2, schema.Returns);
        Assert.False(schema.InPlace);
        Assert.Equal(["self", "k", "dim", "largest", "dtype"], schema.Parameters.Select(p => p.Name));
        Assert.Equal([OpType.Tensor, OpType.Int, OpType.Int, OpType.Bool, OpType.DType], schema.Parameters.Select(p => p.Type));
        Assert.Equal([null, null, -1L, true, null], schema.Parameters.Select(p => p.Default));
        Assert.Equal([false, false, true, true, true], schema.Parameters.Select(p => p.HasDefault));
        Assert.Equal([false, false, false, false, true], schema.Parameters.Select(p => p.KeywordOnly));
        Assert.True(schema.Parameters[4].Optional);
        Assert.Equal(2, schema.IndexOf("dim"));
        Assert.Equal(-1, schema.IndexOf("dims"));
    }

    [Theory]
    [InlineData("float eps=1e-05", 1e-05)]
    [InlineData("float p=2.0", 2.0)]
    [InlineData("float p=2", 2.0)]
    [InlineData("Scalar alpha=1", 1L)]
    [InlineData("Any dims=2", 2L)]
    [InlineData("str mode='constant'", "constant")]
    [InlineData("Any ord='fro'", "fro")]
    [InlineData("bool keepdim=False", false)]
    [InlineData("int? dim=None", null)]
    public void Parse_ReadsDefaults(string parameter, object? expected) =>
        Assert.Equal(expected, OpSchema.Parse($"f({parameter}) -> Tensor").Parameters[0].Default);

    [Fact]
    public void Parse_ReadsListsOfNumbers()
    {
        Assert.Equal([-2, -1], (long[])OpSchema.Parse("f(int[] dim=[-2,-1]) -> Tensor").Parameters[0].Default!);
        Assert.Empty((long[])OpSchema.Parse("f(int[] dim=[]) -> Tensor").Parameters[0].Default!);
    }

    [Fact]
    public void Parse_NamesAnUnknownType() =>
        Assert.Contains("Tenzor", Assert.Throws<FormatException>(() => OpSchema.Parse("f(Tenzor self) -> Tensor")).Message,
            StringComparison.Ordinal);
}
