using System.Reflection;

namespace Ndif.Drawing.Tests;

/// <summary>
/// What a .NET notebook shows of our types. It finds the formatters by reflection, as Microsoft.DotNet.Interactive.Formatting does: an
/// attribute with this name, whose FormatterSourceType has CreateTypeFormatters, whose items have MimeType and Format.
/// </summary>
public sealed class NotebookTests
{
    [Fact]
    public void Figure_ShowsItself()
    {
        Figure figure = Plots.HeatMap(new[] { 1.0, 2 });
        Assert.Equal(figure.ToHtmlFragment(), Display(figure, "text/html"));
        Assert.Equal(figure.ToSvg(), Display(figure, "image/svg+xml"));
    }

    [Fact]
    public void Tensor_ShowsPyTorchsText_WithTypeAndShape()
    {
        TensorData tensor = TensorData.FromArray(new[] { 1f, 2 }, 2, 1);
        Assert.Equal("<pre>tensor([[1.],\n        [2.]])</pre><div>float32 [2, 1]</div>", Display(tensor, "text/html"));
        Assert.Equal(tensor.ToString(), Display(tensor, "text/plain"));
    }

    private static string Display(object value, string mimeType)
    {
        Attribute attribute = value.GetType().GetCustomAttributes().Single(a => a.GetType().Name == "TypeFormatterSourceAttribute");
        Assert.Equal(["text/html"], (string[])Read(attribute, "PreferredMimeTypes"));
        object source = Activator.CreateInstance((Type)Read(attribute, "FormatterSourceType"))!;
        var formatters = (IEnumerable<object>)source.GetType().GetMethod("CreateTypeFormatters")!.Invoke(source, null)!;
        object formatter = formatters.Single(f => (string)Read(f, "MimeType") == mimeType);
        MethodInfo format = formatter.GetType().GetMethod("Format", [typeof(object), typeof(TextWriter)])!;
        var written = new StringWriter();
        Assert.Equal(true, format.Invoke(formatter, [value, written]));
        Assert.Equal(false, format.Invoke(formatter, [new object(), written]));
        return written.ToString();
    }

    private static object Read(object instance, string property) => instance.GetType().GetProperty(property)!.GetValue(instance)!;
}
