using Ndif.Models.Loading;
using static TorchSharp.torch;

namespace Ndif.Models.CpuKernels;

/// <summary>
/// A product with a random weight of 768 x 1024 that any of the kernels computes. Its tensors belong to the current dispose scope.
/// </summary>
internal sealed unsafe class ProductBenchmark
{
    private const int InFeatures = 768, OutFeatures = 1024, MaxRows = 192;

    private readonly Tensor _input, _output; // [rows, inFeatures], [rows, outFeatures]
    private readonly Tensor? _weight;        // [outFeatures, inFeatures], or [inFeatures, outFeatures]
    private readonly EightBitWeight? _eightBitWeight;
    private readonly bool _isInputMajor;
    private readonly WeightView _view;

    public ProductBenchmark(ScalarType dtype, bool isEightBit, bool isInputMajor)
    {
        _isInputMajor = isInputMajor;
        // not the generator of the program, whose draws may be seeded; the values do not change the time
        Tensor values = arange(InFeatures * OutFeatures, ScalarType.Float32).remainder(251).sub(125).mul(1e-3);
        Tensor weight = isInputMajor ? values.view(InFeatures, OutFeatures) : values.view(OutFeatures, InFeatures);
        _input = arange(MaxRows * InFeatures, ScalarType.Float32).remainder(127).mul(1e-2).view(MaxRows, InFeatures).to(dtype);
        _output = empty([MaxRows, OutFeatures], dtype);
        if (isEightBit)
        {
            _eightBitWeight = EightBitWeight.Quantize(weight, isInputMajor ? 0 : 1, dtype, CPU);
            _view = WeightView.TryCreate(_eightBitWeight, null, isInputMajor)!.Value;
        }
        else
        {
            _weight = weight.to(dtype);
            _view = WeightView.TryCreate(_weight, null, isInputMajor)!.Value;
        }
    }

    public void Run(ProductKernel kernel, int rows)
    {
        using var scope = NewDisposeScope();
        Tensor x = _input.narrow(0, 0, rows); // [rows, inFeatures]
        if (kernel != ProductKernel.Libtorch)
        {
            LinearKernels.Multiply(_view, GemmInput.Create(x, _view, kernel), NativeTensor.DataPointer(_output.Handle));
            return;
        }
        Tensor weight = _weight ?? _eightBitWeight!.Dequantize();
        if (_weight is null && LinearKernels.TryMultiply(x, WeightView.TryCreate(weight, null, _isInputMajor)!.Value) is not null) return;
        x.matmul(_isInputMajor ? weight : weight.t());
    }
}
