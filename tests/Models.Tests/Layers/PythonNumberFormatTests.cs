using Ndif.Models.Layers;

namespace Ndif.Models.Tests.Layers;

public sealed class PythonNumberFormatTests
{
    [Theory]
    [InlineData(1e-5, "1e-05")]
    [InlineData(1e-6, "1e-06")]
    [InlineData(1.5e-12, "1.5e-12")]
    [InlineData(0.1, "0.1")]
    [InlineData(0.0, "0.0")]
    [InlineData(2.0, "2.0")]
    [InlineData(0.0001, "0.0001")]
    public void Number_IsPrintedAsPythonDoes(double value, string text) => Assert.Equal(text, PythonNumberFormat.Format(value));
}
