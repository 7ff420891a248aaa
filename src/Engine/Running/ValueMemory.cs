using TorchSharp;

namespace Ndif.Engine.Running;

/// <summary>Computes the memory of a value.</summary>
internal static class ValueMemory
{
    /// <summary>The bytes up to which the size of a tensor is not looked at closely.</summary>
    internal const long SmallTensorBytes = 1 << 20;

    /// <summary>
    /// What a value takes that is no tensor, and its place in a list: a program can fill a list with numbers for as long as it may run.
    /// </summary>
    private const long ItemBytes = 32;

    /// <summary>What the handles of a tensor take.</summary>
    private const long HandleBytes = 256;

    /// <summary>What a list takes without its items, and what a dictionary takes.</summary>
    private const long ListBytes = 96, MapBytes = 256;

    /// <summary>What an item takes in a message, and a few times more while the message is written.</summary>
    private const long MessageItemBytes = 512;

    /// <summary>What a value takes beside the memory of its tensors.</summary>
    public static long ItemBytesOf(object? value) => value switch
    {
        torch.Tensor => HandleBytes,
        Gradients.ProgramOptimizer optimizer => optimizer.MaxBytes,
        string text => ItemBytes + 2L * text.Length,
        IEnumerable<KeyValuePair<string, object?>> map => MapBytes + map.Sum(entry => 2 * ItemBytes + ItemBytesOf(entry.Value)),
        IEnumerable<object?> items => ListBytes + items.Sum(ItemBytesOf),
        _ => ItemBytes,
    };

    /// <summary>The bytes that a value takes while it is sent: the copies of its tensors, and the message of its items.</summary>
    public static double MessageBytesOf(object? value) => CopyBytesOf(value) + MessageItemBytes * ItemCount(value);

    /// <summary>The bytes of the elements of the tensors in a value, each once for each tensor.</summary>
    public static long TensorBytesOf(object? value) => (long)Sum(value, ShapeBytes);

    /// <summary>The bytes of a copy of a value: an expanded tensor is copied with all of its elements.</summary>
    public static double ShapeBytesOf(object? value) => Sum(value, ShapeBytes);

    /// <summary>The bytes of the copies that are needed to read the elements of a value in their order.</summary>
    public static double CopyBytesOf(object? value) =>
        Sum(value, tensor => ShapeBytes(tensor) is >= SmallTensorBytes and var bytes && !tensor.is_contiguous() ? bytes : 0);

    private static double ShapeBytes(torch.Tensor tensor) =>
        tensor.device_type is DeviceType.META ? 0 : (double)tensor.numel() * tensor.element_size();

    private static double Sum(object? value, Func<torch.Tensor, double> bytes) => value switch
    {
        torch.Tensor tensor => bytes(tensor),
        string => 0,
        IEnumerable<KeyValuePair<string, object?>> map => map.Sum(entry => Sum(entry.Value, bytes)),
        IEnumerable<object?> items => items.Sum(item => Sum(item, bytes)),
        _ => 0,
    };

    private static long ItemCount(object? value) => value switch
    {
        string => 1,
        IEnumerable<KeyValuePair<string, object?>> map => 1 + map.Sum(entry => ItemCount(entry.Value)),
        IEnumerable<object?> items => 1 + items.Sum(ItemCount),
        _ => 1,
    };
}
