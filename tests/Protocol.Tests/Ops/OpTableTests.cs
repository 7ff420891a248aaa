using Ndif.Protocol.Ops;

namespace Ndif.Protocol.Tests.Ops;

public sealed class OpTableTests
{
    [Fact]
    public void Table_CoversWhatInterpretabilityUses() => Assert.True(OpTable.Rows.Count >= 300, $"{OpTable.Rows.Count} rows");

    /// <summary>Operations may be added but not removed, because recorded programs call them.</summary>
    [Fact]
    public void Names_AreAppendOnly() => ApprovedList.AssertAppendOnly("ops", OpTable.Rows.Keys.Order(StringComparer.Ordinal));

    [Fact]
    public void Rows_AreWellFormed()
    {
        foreach (OpSchema row in OpTable.Rows.Values)
        {
            Assert.Matches("^[A-Za-z_][A-Za-z_0-9]*$", row.Name);
            Assert.Equal(row.Parameters.Count, row.Parameters.Select(p => p.Name).Distinct().Count());
            bool optional = false;
            foreach (OpParameter parameter in row.Parameters.Where(p => !p.KeywordOnly))
            {
                Assert.True(parameter.HasDefault || !optional, $"{row.Text}: `{parameter.Name}` is required after one that is not");
                optional |= parameter.HasDefault;
            }
            Assert.All(row.Parameters.Where(p => p.KeywordOnly), p => Assert.True(p.HasDefault, row.Text));
            Assert.All(row.Parameters.Where(p => p.HasDefault && p.Default is null),
                p => Assert.True(p.Optional || p.Type == OpType.Any, row.Text));
            if (row.InPlace) Assert.Equal("self", row.Parameters[0].Name);
        }
    }

    /// <summary>A default must be valid for its parameter; otherwise a call without the argument would fail.</summary>
    [Fact]
    public void Defaults_FitTheirParameters()
    {
        foreach (OpSchema row in OpTable.Rows.Values)
            foreach (OpParameter parameter in row.Parameters.Where(p => p is { HasDefault: true, Default: not null }))
                Assert.True(ClrArgumentAccessor.Instance.KindOf(parameter.Default).Fits(parameter.Type), $"{row.Text}: {parameter.Name}");
    }

    [Theory]
    [InlineData("randn")]
    [InlineData("rand_like")]
    [InlineData("dropout")]
    [InlineData("multinomial")]
    [InlineData("bernoulli")]
    [InlineData("normal_")]
    public void RandomOperations_TakeASeed(string name)
    {
        OpParameter seed = OpTable.Get(name).Parameters[^1];
        Assert.Equal(("seed", true, true), (seed.Name, seed.Optional, seed.KeywordOnly));
    }

    [Fact]
    public void UnknownOperation_IsNamedWithItsNeighbours()
    {
        var error = Assert.Throws<BadProgramException>(() => OpTable.Get("sofmax"));
        Assert.Equal(ErrorCode.UnknownOp, error.Code);
        Assert.Contains("There is no operation `sofmax`.", error.Message, StringComparison.Ordinal);
        Assert.Contains("`softmax`", error.Message, StringComparison.Ordinal);
    }
}
